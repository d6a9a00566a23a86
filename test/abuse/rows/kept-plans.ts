import { post, tally } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const Prompt = [{ role: 'user', content: 'sim:events=200 sim:gap=40' }]
/** The JSON that the schemas want, but not soon: other words would be asked for again, and refused as a 502 in the end. */
const JsonPrompt = [{ role: 'user', content: 'sim:say="{}" sim:first=8000' }]

/** What lived on for as long as its answer: 24 MB of stop strings, schemas by the dozen, names of models. */
export const row: AbuseRow = {
  name: 'kept-plans',
  what: '3 streams with 8 MB of stop strings, 24 with schemas of 252 KB for their answers, 20 with model names of 3 MB',
  async attack({ url, key }) {
    const ask = (count: number, members: object): Promise<number>[] => {
      const request = { model: 'auto', stream: true, messages: Prompt, ...members }
      const body = new TextEncoder().encode(JSON.stringify(request))
      return Array.from({ length: count }, () =>
        post(url, { path: '/v1/chat/completions', key, body })
      )
    }
    const properties = Object.fromEntries(
      Array.from({ length: 12_000 }, (_, at) => [`property_${at}`, {}])
    )
    const response_format = { type: 'json_schema', json_schema: { schema: { properties } } }
    const statuses = await Promise.all([
      ...ask(3, { stop: Array.from({ length: 8 }, () => 's'.repeat(1_000_000)) }),
      ...ask(24, { response_format, messages: JsonPrompt }),
      ...ask(20, { model: 'm'.repeat(3_000_000) })
    ])
    return tally(statuses)
  }
}

import { post, probeLarge, tally, tell } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const AnswerBytes = 2_500_000
const SizeChars = 1000
const Answers = 4
const AtOnce = 40

/** A request of a hundred bytes may refer to megabytes that are kept: they count as if the client had sent them. */
export const row: AbuseRow = {
  name: 'referred-answers',
  what: `tokens counted of ${AtOnce} requests at once that refer to ${Answers} kept answers of ${AnswerBytes / 1e6} MB each`,
  async attack({ url, key }) {
    const ids: string[] = []
    while (ids.length < Answers) ids.push(await keep(url, key))
    const input = [
      ...ids.map((id) => ({ type: 'item_reference', id })),
      { role: 'user', content: 'go on' }
    ]
    const body = toBody({ input })
    const path = '/v1/responses/input_tokens'
    const attack = Promise.all(Array.from({ length: AtOnce }, () => post(url, { path, key, body })))
    const probe = await probeLarge(url, attack)
    const statuses = await attack
    if (!statuses.includes(200)) throw new Error(`none was answered: ${tally(statuses)}`)
    return `${tally(statuses)}; ${tell(probe, 10_000)}`
  }
}

/** The id of the message of an answer that is kept. */
async function keep(url: string, key: string): Promise<string> {
  const input = `sim:events=${AnswerBytes / SizeChars} sim:size=${SizeChars} sim:gap=0`
  const response = await fetch(`${url}/v1/responses`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: toBody({ input })
  })
  const id = /"id":"(msg_[0-9a-f]{32})"/.exec(await response.text())?.[1]
  if (id === undefined) throw new Error(`no message: ${response.status}`)
  return id
}

function toBody(request: object): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(JSON.stringify({ model: 'auto', ...request })))
}

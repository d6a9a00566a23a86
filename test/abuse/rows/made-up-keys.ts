import { post, tally } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const Requests = 800
const AtOnce = 100
/** Four more than the streams of others. */
const Connections = 24

/** Any text may look like a Kiro key: a client with a new one for each request is one client, and the upstream is hardly asked. */
export const row: AbuseRow = {
  name: 'made-up-keys',
  what: `${Requests} requests, ${AtOnce} at once, each with another Kiro key that the upstream does not know, on ${Connections} connections`,
  settings: { KIRO_KEY_PASSTHROUGH: 'true', HTTP_MAX_CONNECTIONS: String(Connections) },
  async attack({ url }) {
    const statuses: number[] = []
    let next = 0
    const askOn = async (): Promise<void> => {
      while (next < Requests) {
        const number = next++
        // The simulator refuses the first key that comes with a prompt.
        const content = `number ${number} sim:expired`
        const body = new TextEncoder().encode(
          JSON.stringify({ model: 'auto', messages: [{ role: 'user', content }] })
        )
        const key = `ksk_made-up-${number}`
        statuses.push(await post(url, { path: '/v1/chat/completions', key, body }))
      }
    }
    await Promise.all(Array.from({ length: AtOnce }, askOn))
    const wrong = statuses.find((status) => status !== 401 && status !== 429)
    if (wrong !== undefined) throw new Error(`answered with ${tally(statuses)}`)
    return tally(statuses)
  }
}

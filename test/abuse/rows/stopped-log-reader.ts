import type { AbuseRow } from '../row.ts'

const Requests = 6000
const Connections = 6

/** Whoever reads the log may stop doing so: lines are lost then, and nothing else. */
export const row: AbuseRow = {
  name: 'stopped-log-reader',
  what: `${Requests} refused requests while nobody reads the log`,
  async attack(stand) {
    const { url, key, gateway } = stand
    gateway.output.pause()
    let left = Requests
    let refused = 0
    const headers = { authorization: `Bearer ${key}`, 'x-request-id': 'x'.repeat(128) }
    const one = async (): Promise<void> => {
      while (left-- > 0) {
        const answer = await fetch(`${url}/v1/chat/completions`, {
          method: 'POST',
          headers,
          body: '{}',
          signal: AbortSignal.timeout(10_000)
        })
        await answer.arrayBuffer()
        if (answer.status === 400) refused++
      }
    }
    await Promise.all(Array.from({ length: Connections }, one))
    stand.progress(`stopped-log-reader: ${refused} refused, the log is read again`)
    const metrics = await fetch(`${url}/metrics`, { headers })
    const lost = /^kiro_gateway_log_lines_lost_total (\d+)$/m.exec(await metrics.text())?.[1]
    gateway.output.resume()
    if (refused < Requests) throw new Error(`only ${refused} of ${Requests} were answered`)
    return `${refused} answered, ${lost} lines lost and counted`
  }
}

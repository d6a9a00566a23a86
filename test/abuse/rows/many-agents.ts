import { messagesBody } from '../../helper/agent-request.ts'
import { post, tally } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const Requests = 1200
const AtOnce = 300
const Bytes = 30_000

/**
 * So many usual requests at once that the event loops have nothing else to do. They are counted, not asked: the
 * simulator would be what everybody waits for.
 */
export const row: AbuseRow = {
  name: 'many-agents',
  what: `${Requests} requests of an agent of ${Bytes / 1000} KB to count, ${AtOnce} at once`,
  async attack({ url, key }) {
    const body = new Uint8Array(messagesBody({ bytes: Bytes, tools: 5 }))
    const path = '/v1/messages/count_tokens'
    const statuses: number[] = []
    let left = Requests
    const askOn = async (): Promise<void> => {
      while (left-- > 0) statuses.push(await post(url, { path, key, body }))
    }
    await Promise.all(Array.from({ length: AtOnce }, askOn))
    return tally(statuses)
  }
}

import { post, tally } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const Uploads = 200
const AtOnce = 20
const LeavesAfterMs = 60
/** So many messages of one letter make a megabyte, and a conversion of a tenth of a second. */
const Messages = 33_000

/** Clients that leave in the middle of their conversions leave nothing behind for which others would wait. */
export const row: AbuseRow = {
  name: 'left-uploads',
  what: `${Uploads} conversations of 1 MB to count, ${AtOnce} at once, whose clients leave after ${LeavesAfterMs} ms`,
  async attack({ url, key }) {
    const messages = Array.from({ length: Messages }, (_, at) => ({
      role: at % 2 === 0 ? 'user' : 'assistant',
      content: 'a'
    }))
    const request = { model: 'auto', max_tokens: 100, messages }
    const body = new TextEncoder().encode(JSON.stringify(request))
    const path = '/v1/messages/count_tokens'
    const statuses: number[] = []
    let left = Uploads
    const askOn = async (): Promise<void> => {
      while (left-- > 0)
        statuses.push(await post(url, { path, key, body, leavesAfterMs: LeavesAfterMs }))
    }
    await Promise.all(Array.from({ length: AtOnce }, askOn))
    return tally(statuses)
  }
}

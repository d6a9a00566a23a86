import { setTimeout as delay } from 'node:timers/promises'
import type { DialectName } from '../../../src/dialects/dialect.ts'
import { quadraticBodies } from '../../helper/quadratic-bodies.ts'
import { post, probeLarge, tally, tell } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const LargeBytes = 640_000
const InlineBytes = 122_000
const Rounds = 4
/** Counted where that can be: what the simulator does with them is not the question. */
const Paths: Readonly<Record<DialectName, string>> = {
  'openai-chat': '/v1/chat/completions',
  'anthropic-messages': '/v1/messages/count_tokens',
  'openai-responses': '/v1/responses/input_tokens'
}
const LeavesAfterMs = 300

/**
 * Conversions that take as long as they can, in threads for clients that leave at once, and on the event loop: nobody
 * waits for them.
 */
export const row: AbuseRow = {
  name: 'slow-conversions',
  what: `${Rounds} rounds of the dearest bodies there are: 640 KB, whose clients leave after ${LeavesAfterMs} ms, 122 KB, and 640 KB to lint`,
  async attack({ url, key }) {
    const attack = (async () => {
      const statuses: number[] = []
      for (let round = 0; round < Rounds; round++) {
        const asked = quadraticBodies.flatMap(({ dialect, bodyOf }) => {
          const path = Paths[dialect]
          const large = toBytes(bodyOf(LargeBytes))
          const small = toBytes(bodyOf(InlineBytes))
          return [
            post(url, { path, key, body: large, leavesAfterMs: LeavesAfterMs }),
            post(url, { path: '/v1/lint', key, body: large, leavesAfterMs: LeavesAfterMs * 10 }),
            ...[1, 2].map(() => post(url, { path, key, body: small }))
          ]
        })
        statuses.push(...(await Promise.all(asked)))
        await delay(100)
      }
      return statuses
    })()
    const probe = await probeLarge(url, attack)
    return `${tally(await attack)}; ${tell(probe, 5000)}`
  }
}

function toBytes(body: object): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(JSON.stringify(body))
}

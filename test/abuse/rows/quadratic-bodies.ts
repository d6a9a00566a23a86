import type { DialectName } from '../../../src/dialects/dialect.ts'
import { quadraticBodies } from '../../helper/quadratic-bodies.ts'
import { post, tally } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const Sizes = [120_000, 1_000_000, 3_000_000]
const Paths: Readonly<Record<DialectName, string>> = {
  'openai-chat': '/v1/lint?dialect=openai-chat',
  'anthropic-messages': '/v1/messages/count_tokens',
  'openai-responses': '/v1/responses/input_tokens'
}

/** Conversions that took seconds or minutes take as long as others of their size. */
export const row: AbuseRow = {
  name: 'quadratic-bodies',
  what: `each body that took time by the square of its size, of ${Sizes.join(', ')} bytes`,
  async attack({ url, key }) {
    const statuses: number[] = []
    const begin = performance.now()
    for (const bytes of Sizes) {
      for (const { dialect, bodyOf } of quadraticBodies) {
        const body = new TextEncoder().encode(JSON.stringify(bodyOf(bytes)))
        statuses.push(await post(url, { path: Paths[dialect], key, body }))
      }
    }
    const seconds = (performance.now() - begin) / 1000
    if (seconds > 60) throw new Error(`they took ${seconds.toFixed(0)} s`)
    return `${tally(statuses)} in ${seconds.toFixed(1)} s`
  }
}

import type { DialectName } from '../../../src/dialects/dialect.ts'
import { multiplyingBodies } from '../../helper/multiplying-bodies.ts'
import { post, tally } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const Sizes = [124_000, 2_000_000, 8_000_000]
const AtOnce = 4
const LongNameChars = 62_000
const Paths: Readonly<Record<DialectName, string>> = {
  'openai-chat': '/v1/chat/completions',
  'anthropic-messages': '/v1/messages',
  'openai-responses': '/v1/responses'
}

/** A request that would become many times its size is refused before it does. */
export const row: AbuseRow = {
  name: 'multiplying-model',
  what: `a model name of ${LongNameChars} characters in 1000 turns, and bodies whose every byte becomes many`,
  async attack({ url, key }) {
    const turns = Array.from({ length: 1000 }, () => [
      { role: 'user', content: 'a' },
      { role: 'assistant' }
    ])
    const named = { model: 'm'.repeat(LongNameChars), messages: turns.flat() }
    const ask = (dialect: DialectName, body: object): Promise<number[]> => {
      const bytes = new TextEncoder().encode(JSON.stringify(body))
      const asked = { path: Paths[dialect], key, body: bytes }
      return Promise.all(Array.from({ length: AtOnce }, () => post(url, asked)))
    }
    const statuses = await ask('openai-chat', named)
    for (const size of Sizes) {
      for (const { dialect, bodyOf } of multiplyingBodies) {
        statuses.push(...(await ask(dialect, bodyOf(size))))
      }
    }
    return tally(statuses)
  }
}

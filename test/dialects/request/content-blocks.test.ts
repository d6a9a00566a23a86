import t from 'tap'
import { convertRequest, type DialectName } from '../../../src/dialects/dialect.ts'
import { requestOptions } from '../../helper/request-options.ts'

const CHARS = 1_500_000

/** With that of the system, which finds the memory for copies. */
function fastestCpuMs(run: () => void): number {
  const runs = [1, 2, 3].map(() => {
    const before = process.threadCpuUsage()
    run()
    const { user, system } = process.threadCpuUsage(before)
    return (user + system) / 1000
  })
  return Math.min(...runs)
}

type Block = Readonly<Record<string, unknown>>

const wraps: Readonly<Record<string, (block: Block) => Block>> = {
  'results of tools': (block) => ({ type: 'tool_result', tool_use_id: 'call', content: [block] }),
  documents: (block) => ({ type: 'document', source: { type: 'content', content: [block] } }),
  'search results': (block) => ({
    type: 'search_result',
    title: 'a',
    source: 'b',
    content: [block]
  })
}

const bodies: Readonly<Record<DialectName, (block: Block) => unknown>> = {
  'anthropic-messages': (block) => ({
    max_tokens: 9,
    messages: [{ role: 'user', content: [block] }]
  }),
  'openai-chat': (block) => ({ messages: [{ role: 'user', content: [block] }] }),
  'openai-responses': (block) => ({ input: [{ role: 'user', content: [block] }] })
}

function convert(dialect: DialectName, block: Block): string {
  const body = { model: 'claude-haiku-4.5', ...(bodies[dialect](block) as object) }
  const { payload } = convertRequest(dialect, Buffer.from(JSON.stringify(body)), requestOptions())
  return Buffer.from(payload).toString()
}

function nested(wrap: (block: Block) => Block, levels: number, text: string): Block {
  let block: Block = { type: 'text', text }
  for (let level = 0; level < levels; level++) block = wrap(block)
  return block
}

for (const dialect of ['anthropic-messages', 'openai-chat', 'openai-responses'] as const) {
  for (const [what, wrap] of Object.entries(wraps)) {
    t.test(`a long text inside many ${what} costs no more than in one, ${dialect}`, async (t) => {
      const text = `${'word '.repeat(CHARS / 5)}end.`
      const [flat, deep] = [1, 75].map((levels) => nested(wrap, levels, text))
      t.match(convert(dialect, deep!), /word end\./, 'the words are there')
      const [one, many] = [flat, deep].map((block) =>
        fastestCpuMs(() => void convert(dialect, block!))
      )
      t.ok(many! <= one! * 3 + 25, `${many} ms for 75 levels, ${one} ms for one`)
    })
  }
}

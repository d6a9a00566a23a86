import t from 'tap'
import type { DialectName } from '../../src/dialects/reply-plan.ts'
import { convert } from '../helper/convert.ts'

const KIB = 1024
const messages = [{ role: 'user', content: 'hi' }]
const inputs: Readonly<Record<DialectName, object>> = {
  'openai-chat': { messages },
  'anthropic-messages': { messages },
  'openai-responses': { input: 'hi' }
}

function keptBytesOf(dialect: DialectName, members: object): number {
  return convert(dialect, { model: 'auto', ...inputs[dialect], ...members }).plan.keptBytes
}

t.test('what an answer keeps of its request', async (t) => {
  t.test('is said, and is little for what clients send', async (t) => {
    const properties = Object.fromEntries(
      Array.from({ length: 10 }, (_, at) => [`parameter_${at}`, { type: 'string' }])
    )
    const tools = Array.from({ length: 100 }, (_, at) => ({
      name: `mcp__server__tool_${at}`,
      description: 'd'.repeat(2000),
      input_schema: { type: 'object', properties }
    }))
    for (const dialect of ['openai-chat', 'anthropic-messages', 'openai-responses'] as const) {
      t.ok(keptBytesOf(dialect, {}) > 500)
      t.ok(keptBytesOf(dialect, {}) < 5 * KIB)
    }
    const bytes = keptBytesOf('anthropic-messages', { tools })
    t.ok(bytes > 100 * 10 * 'parameter_0'.length, `${bytes}`)
    t.ok(bytes < 150 * KIB, `${bytes}`)
  })

  t.test('counts stop strings, the schema of the answer and what is repeated', async (t) => {
    const bare = keptBytesOf('openai-chat', {})
    t.ok(keptBytesOf('openai-chat', { stop: 's'.repeat(4000) }) > bare + 4000)
    const schema = { description: 'd'.repeat(100_000) }
    const response_format = { type: 'json_schema', json_schema: { schema } }
    t.ok(keptBytesOf('openai-chat', { response_format }) > bare + 100_000)
    t.ok(keptBytesOf('openai-responses', { instructions: 'i'.repeat(16_000) }) > bare + 16_000)
  })

  t.test('has no tools beyond those on offer', async (t) => {
    const tools = Array.from({ length: 5000 }, (_, at) => ({ type: 'function', name: `f${at}` }))
    const { plan } = convert('openai-responses', {
      model: 'auto',
      input: 'hi',
      tools: [{ type: 'namespace', name: 'n', tools }]
    })
    t.equal(Object.keys(plan.toolForms).length, 120)
    t.ok(plan.keptBytes < 100 * KIB, `${plan.keptBytes}`)
  })

  t.test('has no more names of parameters than are of use', async (t) => {
    const properties = Object.fromEntries(
      Array.from({ length: 9000 }, (_, at) => [`parameter_${at}`, {}])
    )
    const schema = { type: 'object', properties, required: Object.keys(properties) }
    const tools = [
      { name: 'huge', input_schema: schema },
      { name: 'usual', input_schema: { type: 'object', properties: { path: {} } } }
    ]
    const { plan } = convert('anthropic-messages', { model: 'auto', messages, tools })
    t.same(Object.keys(plan.textCallForms), ['usual'])
    t.ok(plan.keptBytes < 5 * KIB)
  })
})

import t from 'tap'
import type { DialectName } from '../../src/dialects/dialect.ts'
import { convert, refusalOf } from '../helper/convert.ts'
import { collectGarbage } from '../helper/cost.ts'

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
    t.equal(Object.keys(plan.asked.own.toolForms).length, 120)
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

t.test('what has no bound with the vendors either is refused, with its place', async (t) => {
  const stop = 's'.repeat(4096)
  const name = 'n'.repeat(512)
  const cases: readonly (readonly [DialectName, taken: object, refused: object, param: string])[] =
    [
      ['openai-chat', { stop }, { stop: `${stop}s` }, 'stop'],
      ['openai-chat', { stop: ['a', stop] }, { stop: ['a', `${stop}s`] }, 'stop[1]'],
      ['openai-chat', { stop: repeat('a', 16) }, { stop: repeat('a', 17) }, 'stop'],
      [
        'anthropic-messages',
        { stop_sequences: repeat(stop, 16) },
        { stop_sequences: repeat(stop, 17) },
        'stop_sequences'
      ],
      [
        'anthropic-messages',
        { stop_sequences: ['', stop] },
        { stop_sequences: ['', `${stop}s`] },
        'stop_sequences[1]'
      ],
      ...(['openai-chat', 'anthropic-messages', 'openai-responses'] as const).map(
        (dialect) =>
          [dialect, { model: 'm'.repeat(256) }, { model: 'm'.repeat(257) }, 'model'] as const
      ),
      [
        'anthropic-messages',
        { tools: [{ name }] },
        { tools: [{ name: `${name}n` }] },
        'tools[0].name'
      ],
      [
        'openai-chat',
        { tools: [{ function: { name } }] },
        { tools: [{ function: { name: `${name}n` } }] },
        'tools[0].function.name'
      ],
      ...['allowed_domains', 'blocked_domains'].map(
        (member) =>
          [
            'anthropic-messages',
            { tools: [{ type: 'web_search_20250305', [member]: ['d'.repeat(512)] }] },
            { tools: [{ type: 'web_search_20250305', [member]: ['d', 'd'.repeat(513)] }] },
            `tools[0].${member}[1]`
          ] as const
      )
    ]
  for (const [dialect, taken, refused, param] of cases) {
    const at = { model: 'auto', ...inputs[dialect], ...taken }
    t.ok(convert(dialect, at).plan.keptBytes < 200 * KIB, `${dialect} ${param}`)
    const error = refusalOf(dialect, { ...at, ...refused })
    t.match(error, { code: 'GW_BODY_INVALID', param, message: `${param}: must have at most` })
  }
})

t.test('a refusal inside a schema is short, however long the names there are', async (t) => {
  const properties = { ['p'.repeat(200_000)]: { type: 'nothing' } }
  const response_format = { type: 'json_schema', json_schema: { schema: { properties } } }
  const error = refusalOf('openai-chat', { model: 'auto', messages, response_format })
  t.match(error, { param: 'response_format.json_schema.schema.properties' })
  t.ok(error instanceof Error && error.message.length < 700)
})

t.test('nothing keeps the body of a request alive', async (t) => {
  const long = ' '.repeat(1_000_000)
  const tool = { type: 'web_search_20250305', user_location: { city: `Ghent${long}` } }
  const bodies: readonly (readonly [DialectName, object])[] = [
    [
      'anthropic-messages',
      { tools: [tool], messages: [{ role: 'user', content: `${long} a long question` }] }
    ],
    [
      'anthropic-messages',
      {
        tools: [tool],
        messages: [
          {
            role: 'user',
            content: `${long}\nPerform a web search for the query: something long enough`
          }
        ]
      }
    ],
    [
      'openai-responses',
      {
        input: long,
        instructions: 'a short one, but not too short',
        user: 'somebody whose name is long'
      }
    ],
    [
      'openai-chat',
      { messages: [{ role: 'user', content: long }], stop: ['a string that is not short'] }
    ]
  ]
  for (const [dialect, body] of bodies) {
    const request = JSON.stringify({ model: `a-model-that-nobody-knows-${dialect}`, ...body })
    convert(dialect, request)
    collectGarbage()
    const before = process.memoryUsage().heapUsed
    const plans = Array.from({ length: 8 }, () => convert(dialect, request).plan)
    collectGarbage()
    const kept = (process.memoryUsage().heapUsed - before) / plans.length
    t.ok(kept < 64 * KIB, `${dialect} keeps ${kept}`)
  }
})

function repeat<T>(value: T, times: number): T[] {
  return Array.from({ length: times }, () => value)
}

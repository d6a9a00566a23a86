import t from 'tap'
import { toWireToolName } from '../../src/kiro/conversation/tools.ts'
import { fragmentsOf } from '../../src/simulator/script.ts'
import { findWishedCalls, sampleArguments } from '../../src/simulator/wished-calls.ts'

const LONG_NAME = `mcp__${'server_'.repeat(12)}tool`
const LONG_NAMES = [`${LONG_NAME}_other`, LONG_NAME]
const TOOLS = ['f', 'get_weather', 'my_tool', ...LONG_NAMES.map(toWireToolName)].map((name) => ({
  name,
  schema: { type: 'object', properties: { city: { type: 'string' } } }
}))
const SAMPLE = { city: 'sample' }

t.test('findWishedCalls()', async (t) => {
  const cases: [prompt: string, calls: [string, unknown][]][] = [
    ['call tool f', [['f', SAMPLE]]],
    ['Please CALL the tool `get_weather`.', [['get_weather', SAMPLE]]],
    ['use the get_weather tool, thanks', [['get_weather', SAMPLE]]],
    ['Never run tools blindly. Now call tool f.', [['f', SAMPLE]]],
    ['use the others tool, then use the my_tool tool', [['my_tool', SAMPLE]]],
    ['use tool f with {"a":{"b":"}"}} now', [['f', { a: { b: '}' } }]]],
    ['invoke function f with arguments {"a":"\\"}"}', [['f', { a: '"}' }]]],
    [
      'call tools f and get_weather',
      [
        ['f', SAMPLE],
        ['get_weather', SAMPLE]
      ]
    ],
    [
      'call tools f, f & my.tool',
      [
        ['f', SAMPLE],
        ['f', SAMPLE],
        ['my_tool', SAMPLE]
      ]
    ],
    [
      'call tools f with {"x":1}, and get_weather with {"city":"Oslo"}',
      [
        ['f', { x: 1 }],
        ['get_weather', { city: 'Oslo' }]
      ]
    ],
    [
      `call tools ${LONG_NAME} and ${LONG_NAME}_other`,
      [LONG_NAME, `${LONG_NAME}_other`].map((name) => [toWireToolName(name), SAMPLE])
    ],
    ['call tool f with {broken', [['f', SAMPLE]]],
    ['call tool unknown', []],
    ['call tools f and unknown', [['f', SAMPLE]]],
    ['which tools do you have?', []],
    ['the weather in Oslo', []]
  ]
  for (const [prompt, calls] of cases) {
    t.test(prompt, async (t) => {
      const found = findWishedCalls(prompt, TOOLS)
      t.same(
        found.map((call) => [call.name, call.input]),
        calls
      )
    })
  }

  t.test('finds nothing where no tool is offered', async (t) => {
    t.same(findWishedCalls('call tool f', []), [])
  })
})

t.test('sampleArguments()', async (t) => {
  t.test('makes a valid value for every kind of property', async (t) => {
    const properties = {
      text: { type: 'string', minLength: 8 },
      short: { type: 'string', maxLength: 3 },
      empty: { type: 'string', maxLength: 0 },
      choice: { enum: ['b', 'a'] },
      fixed: { const: 5 },
      given: { type: 'string', default: 'd' },
      count: { type: 'integer', minimum: 2.5 },
      ratio: { type: 'number', maximum: 0 },
      flag: { type: 'boolean' },
      nothing: { type: 'null' },
      maybe: { type: ['null', 'boolean'] },
      list: { type: 'array', minItems: 2, items: { type: 'integer' } },
      either: { anyOf: [{ type: 'integer' }, { type: 'string' }] },
      nested: { type: 'object', properties: { a: { properties: { b: {} } } } }
    }
    t.same(sampleArguments({ type: 'object', properties }), {
      text: 'sample s',
      short: 'sam',
      empty: '',
      choice: 'b',
      fixed: 5,
      given: 'd',
      count: 3,
      ratio: 0,
      flag: true,
      nothing: null,
      maybe: true,
      list: [1, 1],
      either: 1,
      nested: { a: { b: 'sample' } }
    })
  })

  t.test('ends for schemas without end', async (t) => {
    const schema: Record<string, unknown> = { type: 'object' }
    schema['properties'] = { again: schema, list: { type: 'array', items: schema } }
    t.ok(JSON.stringify(sampleArguments(schema)).length > 0)
  })
})

t.test('fragmentsOf()', async (t) => {
  const texts = [
    '',
    '{}',
    '{"a":"\\n\\\\"}',
    '{"emoji":"🎉🎉🎉🎉"}',
    JSON.stringify('x'.repeat(5000))
  ]
  t.test('loses nothing and never splits a character', async (t) => {
    for (const text of texts) {
      const fragments = fragmentsOf(text)
      t.equal(fragments.join(''), text)
      t.ok(fragments.every((fragment) => fragment.isWellFormed() && fragment !== ''))
    }
  })

  t.test('cuts inside an escape', async (t) => {
    t.ok(fragmentsOf('{"a":"\\n"}').some((fragment) => fragment.endsWith('\\')))
  })

  t.test('takes larger pieces of long arguments', async (t) => {
    t.ok(fragmentsOf('x'.repeat(5000)).length < 100)
  })
})

import t from 'tap'
import { toWireToolName } from '../../src/kiro/conversation/tools.ts'
import { fragmentsOf } from '../../src/simulator/script.ts'
import { findWishedCalls } from '../../src/simulator/wished-calls.ts'

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

import t from 'tap'
import { limitTools } from '../../../src/kiro/conversation/tools.ts'
import { PlacedRepairs, Repairs } from '../../../src/kiro/rules/repairs.ts'
import { textMessage, type ToolChoice } from '../../../src/kiro/wire/message.ts'
import { convert } from '../../helper/convert.ts'
import { requestOptions } from '../../helper/request-options.ts'

const toolOf = (name: string) => ({ name, description: name, schema: {}, source: `tools.${name}` })
const tools = ['a', 'b', 'c', 'd', 'e'].map(toolOf)
const calling = (...names: string[]) => ({
  ...textMessage('assistant', ''),
  toolCalls: names.map((name) => ({ id: name, name, input: {} }))
})

function limit(maxTools: number, called: readonly string[] = [], choice?: ToolChoice) {
  const { kept, left } = limitTools(tools, {
    maxTools,
    choice: choice ?? { type: 'auto' },
    messages: called.map((name) => calling(name)),
    repairs: new Repairs()
  })
  return [kept.map(({ name }) => name).join(''), left.map(({ name }) => name).join('')]
}

t.test('limitTools()', async (t) => {
  t.test('keeps all that fit', async (t) => {
    t.same(limit(6), ['abcde', ''])
    t.same(limit(5), ['abcde', ''])
  })

  t.test('keeps the first ones, in the client’s order', async (t) => {
    t.same(limit(4), ['abcd', 'e'])
    t.same(limit(1), ['a', 'bcde'])
  })

  t.test('keeps what was called already, the latest first, in any case', async (t) => {
    t.same(limit(2, ['e', 'd']), ['de', 'abc'])
    t.same(limit(1, ['e', 'd']), ['d', 'abce'])
    t.same(limit(2, ['E']), ['ae', 'bcd'])
    t.same(limit(2, ['unknown']), ['ab', 'cde'])
  })

  t.test('keeps the tool that must be called before all others', async (t) => {
    t.same(limit(1, ['d'], { type: 'named', name: 'c' }), ['c', 'abde'])
  })

  t.test('says which were left out', async (t) => {
    const repairs = new PlacedRepairs()
    limitTools(tools, { maxTools: 4, choice: { type: 'auto' }, messages: [], repairs })
    t.same(repairs.places, [{ code: 'tool-limit', pointer: '/tools/e' }])
  })
})

function request(count: number): object {
  const tools = Array.from({ length: count }, (_, index) => ({
    type: 'function',
    function: { name: `tool_${index}`, description: 'A tool' }
  }))
  return { model: 'auto', messages: [{ role: 'user', content: 'hi' }], tools }
}

t.test('a request with too many tools', async (t) => {
  t.equal(convert('openai-chat', request(120)).tools.length, 120)
  const { tools: offered, current, plan } = convert('openai-chat', request(122))
  t.equal(offered.length, 120)
  t.match(current.content, /^Only 120 tools can be offered.*: tool_120, tool_121\.\n\nhi$/)
  t.match(plan.repairs, ['tool-limit'])
  const more = convert('openai-chat', request(122), requestOptions({ toolMaxCount: 122 }))
  t.equal(more.tools.length, 122)
  t.same(more.plan.borderline, ['tool-count'])
})

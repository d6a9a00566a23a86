import t from 'tap'
import {
  borderlineSize,
  borderlineTools,
  borderlineTurns
} from '../../../src/kiro/rules/repairs.ts'
import { isHeavier, weighBytes } from '../../../src/kiro/rules/rules.ts'
import { type Message, textMessage } from '../../../src/kiro/wire/message.ts'

const size = { bytes: 1000, weight: 1000, tokens: 1000, contextWindow: 200_000 }
const user = (more: Partial<Message>): Message => ({ ...textMessage('user', 'hi'), ...more })
const image = (chars: number) => ({ format: 'png', source: { bytes: 'A'.repeat(chars) } }) as const
const result = (chars: number) => ({
  id: 'a',
  text: 'x'.repeat(chars),
  isError: false,
  source: 'messages[2].content[0]'
})
const rulesOf = (found: readonly { readonly rule: string }[]) => found.map(({ rule }) => rule)

t.test('borderlineSize()', async (t) => {
  t.same(borderlineSize(size), [])
  for (const [rule, change, below] of [
    ['payload-size', { bytes: 540_000 }, { bytes: 539_999 }],
    ['payload-weight', { weight: 1_206_000 }, { weight: 1_205_999 }],
    ['context-window', { tokens: 180_000 }, { tokens: 179_999 }]
  ] as const) {
    const [found] = borderlineSize({ ...size, ...change })
    t.match(found, { rule, pointer: '' }, 'at 90 %')
    t.match(found?.message, String(Object.values(change)[0]), 'with the figure')
    t.same(borderlineSize({ ...size, ...below }), [], 'not below')
  }
})

t.test('borderlineTurns()', async (t) => {
  t.same(borderlineTurns([user({ text: 'x'.repeat(400_000) })]), [])
  t.match(borderlineTurns([user({ text: 'x'.repeat(400_001), source: 'messages[7]' })]), [
    { rule: 'turn-length', pointer: '/messages/7', message: /400001 characters; at most 600000/ }
  ])
  t.same(borderlineTurns([user({ toolResults: [result(400_000)] })]), [])
  t.match(borderlineTurns([user({ toolResults: [result(400_001)] })]), [
    { rule: 'result-length', pointer: '/messages/2/content/0' }
  ])
  t.same(borderlineTurns([user({ images: Array(8).fill(image(4)) })]), [])
  t.same(rulesOf(borderlineTurns([user({ images: Array(9).fill(image(4)) })])), ['image-count'])
  t.same(borderlineTurns([user({ images: [image(12_582_000)] })]), [])
  t.same(rulesOf(borderlineTurns([user({ images: [image(12_583_000)] })])), ['image-size'])
  const turns = Array.from({ length: 8999 }, () => user({}))
  t.same(borderlineTurns(turns), [])
  t.same(rulesOf(borderlineTurns([...turns, user({})])), ['history-length'])
})

function offer(count: number, descriptionChars: number, depth: number): readonly string[] {
  const tools = Array.from({ length: count }, (_, index) => ({
    toolSpecification: {
      name: `f${index}`,
      description: 'x'.repeat(descriptionChars),
      inputSchema: { json: {} }
    }
  }))
  const deepestSchema = { depth, source: 'tools[0].input_schema' }
  return rulesOf(borderlineTools({ tools, deepestSchema }))
}

t.test('borderlineTools()', async (t) => {
  t.same(offer(120, 1, 0), [])
  t.same(offer(121, 1, 0), ['tool-count'])
  t.same(offer(1, 10_000, 89), [])
  t.same(offer(1, 10_001, 90), ['tool-description-length', 'tool-schema-depth'])
})

t.test('weighBytes() counts one for ASCII and eight for any other character', async (t) => {
  t.equal(weighBytes(Buffer.from('')), 0)
  t.equal(weighBytes(Buffer.from('abc')), 3)
  t.equal(weighBytes(Buffer.from('é漢')), 16)
  t.equal(weighBytes(Buffer.from('a🎉b')), 10, 'also for one of two halves')
  t.equal(isHeavier('ab', 2), false)
  t.equal(isHeavier('aé', 8), true)
  t.equal(isHeavier('aé', 9), false)
})

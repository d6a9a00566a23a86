import { equal } from 'node:assert/strict'
import t from 'tap'
import { ENDLESS_ROOM } from '../../../src/dialects/answer/output-text.ts'
import { JsonFence } from '../../../src/dialects/answer/text-stages.ts'
import { array, assert, constantFrom, nat, property } from '../../helper/fast-check.ts'
import { cutAt, sliceBy } from '../../helper/upstream-events.ts'

function read(deltas: readonly string[]): string {
  const fence = new JsonFence(ENDLESS_ROOM)
  return deltas.map((delta) => fence.push(delta)).join('') + fence.release()
}

const cases: readonly [name: string, answer: string, text: string][] = [
  ['removes a fence with a language', '```json\n{"a":1}\n```', '{"a":1}'],
  ['removes a fence without one', '```\n{"a":1}\n```', '{"a":1}'],
  ['removes it between blanks', '\n\n```json\n{"a":1}\n```\n\n', '{"a":1}'],
  ['removes it with CR LF', '```json\r\n{"a":1}\r\n```\r\n', '{"a":1}'],
  ['keeps the lines inside', '```json\n{\n  "a": "`x`"\n}\n```', '{\n  "a": "`x`"\n}'],
  ['leaves an answer without a fence', '{"a":"```"}', '{"a":"```"}'],
  ['leaves blanks before an answer without a fence', ' \n{"a":1}', ' \n{"a":1}'],
  ['leaves a fence with words after it', '```json\n{}\n```\nDone.', '```json\n{}\n```\nDone.'],
  ['leaves a fence with words before it', 'So:\n```json\n{}\n```', 'So:\n```json\n{}\n```'],
  ['leaves two blocks', '```\n1\n```\n```\n2\n```', '```\n1\n```\n```\n2\n```'],
  ['leaves a fence that is not closed', '```json\n{"a":', '```json\n{"a":'],
  ['leaves a fence that is only begun', '``', '``'],
  ['leaves a fence around nothing', '```\n```', '```\n```'],
  ['leaves an empty answer', '', '']
]

for (const [name, answer, text] of cases) {
  t.test(`${name}, in slices of every size`, async (t) => {
    for (let size = 1; size <= answer.length + 1; size++) {
      t.equal(read(sliceBy(answer, size)), text, `size ${size}`)
    }
  })
}

t.test('reads any answer the same, however it is cut', async () => {
  const pieces = constantFrom('```', '`', 'json', '\n', ' ', '{"a":1}', 'x')
  assert(
    property(array(pieces, { maxLength: 10 }), array(nat(), { maxLength: 6 }), (words, places) => {
      const answer = words.join('')
      equal(read(cutAt(answer, places)), read([answer]))
    })
  )
})

t.test('passes an answer without a fence from its first character on', async (t) => {
  const fence = new JsonFence(ENDLESS_ROOM)
  t.equal(fence.push('{'), '{')
  t.equal(fence.push('}'), '}')
})

t.test('gives out a fenced answer that grows too long, and all that follows', async (t) => {
  const fence = new JsonFence(ENDLESS_ROOM)
  const half = 'x'.repeat(512 * 1024)
  t.equal(fence.push('```'), '')
  t.equal(fence.push(half), '')
  t.equal(fence.push(half), `\`\`\`${half}${half}`)
  t.equal(fence.push('\n```'), '\n```')
  t.equal(fence.release(), '')
})

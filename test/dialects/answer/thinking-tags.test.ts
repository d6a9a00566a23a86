import { deepEqual } from 'node:assert/strict'
import t from 'tap'
import { ThinkingTags } from '../../../src/dialects/answer/text-stages.ts'
import { array, assert, constantFrom, nat, property } from '../../helper/fast-check.ts'
import { cutAt, sliceBy } from '../../helper/upstream-events.ts'

function read(deltas: readonly string[]): { reasoning: string; text: string } {
  const tags = new ThinkingTags()
  const splits = [...deltas.map((delta) => tags.push(delta)), tags.release()]
  return {
    reasoning: splits.map((split) => split.reasoning).join(''),
    text: splits.map((split) => split.text).join('')
  }
}

const cases: readonly [name: string, answer: string, reasoning: string, text: string][] = [
  ['takes a block with a tag in its words', '<thinking>a<b</thinking>\n\nDone', 'a<b', 'Done'],
  ['knows <think>', '<think>a</think>b', 'a', 'b'],
  ['knows <reasoning>', '<reasoning>a</reasoning>b', 'a', 'b'],
  ['knows <thought>', '<thought>a</thought>b', 'a', 'b'],
  ['skips blanks before the tag', '\n  <think>a</think>b', 'a', 'b'],
  ['keeps blanks before an answer without a tag', '\n  b', '', '\n  b'],
  ['ignores a tag after too many blanks', `${' '.repeat(11)}<think>a`, '', `           <think>a`],
  ['ignores a tag inside the answer', 'a<think>b</think>', '', 'a<think>b</think>'],
  ['ignores a second block', '<think>a</think>b<think>c</think>', 'a', 'b<think>c</think>'],
  ['passes another tag', '<thinker>a', '', '<thinker>a'],
  ['gives back an answer that ends in half a tag', '<thin', '', '<thin'],
  ['takes an unclosed block as reasoning', '<think>a</thi', 'a</thi', ''],
  ['needs the tag that it opened with', '<think>a</thinking>b', 'a</thinking>b', ''],
  ['keeps blanks inside', '<think>\n a \n</think>\n\n\tb \n', '\n a \n', 'b \n'],
  ['takes an empty block', '<think></think>b', '', 'b'],
  ['takes an empty answer', '', '', '']
]

for (const [name, answer, reasoning, text] of cases) {
  t.test(`${name}, in slices of every size`, async (t) => {
    for (let size = 1; size <= answer.length + 1; size++) {
      t.same(read(sliceBy(answer, size)), { reasoning, text }, `size ${size}`)
    }
  })
}

t.test('reads any answer the same, however it is cut', async () => {
  const pieces = constantFrom('<think>', '</think>', '<thi', '</', ' ', '\n', 'a', '<', 'nk>')
  assert(
    property(array(pieces, { maxLength: 12 }), array(nat(), { maxLength: 8 }), (words, places) => {
      const answer = words.join('')
      deepEqual(read(cutAt(answer, places)), read([answer]))
    })
  )
})

t.test('release()', async (t) => {
  t.test('keeps the block open for what comes after', async (t) => {
    const tags = new ThinkingTags()
    tags.push('<think>a</th')
    t.same(tags.release(), { reasoning: '</th', text: '' })
    t.same(tags.push('b</think>c'), { reasoning: 'b', text: 'c' })
  })

  t.test('decides that no tag comes', async (t) => {
    const tags = new ThinkingTags()
    tags.push('<th')
    t.same(tags.release(), { reasoning: '', text: '<th' })
    t.same(tags.push('<think>'), { reasoning: '', text: '<think>' })
  })
})

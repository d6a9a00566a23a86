import { equal, ok } from 'node:assert/strict'
import t from 'tap'
import { ENDLESS_ROOM } from '../../../src/dialects/answer/output-text.ts'
import { RawInput } from '../../../src/dialects/openai-responses/raw-input.ts'
import { array, assert, nat, property, string } from '../../helper/fast-check.ts'
import { cutAt, sliceBy } from '../../helper/upstream-events.ts'

interface ReadInput {
  readonly pieces: readonly string[]
  readonly whole: string
}

function read(slices: readonly string[]): ReadInput {
  const raw = new RawInput(ENDLESS_ROOM)
  const pieces = [...slices.map((slice) => raw.push(slice)), raw.end()].filter(
    (piece) => piece !== ''
  )
  return { pieces, whole: pieces.join('') }
}

/** Every character as an escape. */
function escapeAll(text: string): string {
  let json = ''
  for (let i = 0; i < text.length; i++)
    json += `\\u${text.charCodeAt(i).toString(16).padStart(4, '0')}`
  return json
}

const samples = [
  '',
  'ls -l',
  '*** Begin\n"quoted" \\ back\\\\slash\\',
  'tab\tNUL\u0000 \u{1f600} 世界',
  '\\"'
]

t.test('gives the text whatever the arguments are cut into', async (t) => {
  for (const text of samples) {
    for (const json of [
      JSON.stringify({ input: text }),
      ` {\n "input" : ${JSON.stringify(text)} , "more": ["]}"] } `,
      `{"input":"${escapeAll(text)}"}`
    ]) {
      for (let size = 1; size <= json.length; size++) {
        t.equal(read(sliceBy(json, size)).whole, text, `${json} by ${size}`)
      }
    }
  }
})

t.test('leaves out an escape that was cut off', async (t) => {
  t.equal(read(['{"input":"a\\']).whole, 'a')
  t.equal(read(['{"input":"a', '\\u00e']).whole, 'a')
})

t.test('gives text as soon as it is certain', async (t) => {
  const raw = new RawInput(ENDLESS_ROOM)
  t.equal(raw.push('{"in'), '')
  t.equal(raw.push('put":"a'), 'a')
  t.equal(raw.push('b\\'), 'b')
  t.equal(raw.push('nc\\u00'), '\nc')
  t.equal(raw.push('e9\\ud83d'), 'é')
  t.equal(raw.push('\\ude00"'), '\u{1f600}')
  t.equal(raw.push('}'), '')
  t.equal(raw.end(), '')
})

t.test('never gives half of a character', async () => {
  const texts = string({ unit: 'grapheme', maxLength: 30 })
  assert(
    property(texts, array(nat(), { maxLength: 6 }), (text, places) => {
      for (const json of [JSON.stringify({ input: text }), `{"input":"${escapeAll(text)}"}`]) {
        const { pieces, whole } = read(cutAt(json, places))
        equal(whole, text)
        ok(pieces.every((piece) => piece.isWellFormed()))
      }
    })
  )
})

t.test('gives arguments of another shape as they are, at their end', async (t) => {
  for (const json of [
    '{}',
    '{"input":1}',
    '{"patch":"x"}',
    '{"inputs":"x"}',
    `{"other":"${'x'.repeat(1000)}"}`
  ]) {
    for (const size of [1, 7, json.length]) {
      t.same(read(sliceBy(json, size)), { pieces: [json], whole: json })
    }
  }
  t.equal(read(['{"why":"","input":"late"}']).whole, 'late', 'unless the text comes later')
  t.equal(read([`{"why":"${'x'.repeat(500)}",`, '"input":"late"}']).whole, 'late')
})

t.test('gives nothing of what is no JSON', async (t) => {
  t.equal(read(['{"input":"a\\q', '"}']).whole, '')
})

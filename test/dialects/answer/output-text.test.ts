import { equal } from 'node:assert/strict'
import t from 'tap'
import {
  type AnswerRoom,
  ENDLESS_ROOM,
  LongText,
  OutputText
} from '../../../src/dialects/answer/output-text.ts'
import { byteLengthOf, glue, glueWith, toText } from '../../../src/dialects/answer/answer-writer.ts'
import { array, assert, integer, nat, property, string } from '../../helper/fast-check.ts'
import { cutAt } from '../../helper/upstream-events.ts'

/** Texts of a few kilobytes, so that blocks are filled and characters lie on their borders. */
const texts = [
  string({ unit: 'grapheme', minLength: 1, maxLength: 20 }),
  integer({ min: 1, max: 2000 }),
  array(nat(), { maxLength: 30 })
] as const

t.test('any text, however it is cut, is written as JSON.stringify writes it', async () => {
  assert(
    property(...texts, (word, times, places) => {
      const whole = word.repeat(times)
      const text = new OutputText(ENDLESS_ROOM)
      const plain = new OutputText(ENDLESS_ROOM, 'plain')
      const long = new LongText()
      for (const piece of cutAt(whole, places)) {
        for (const one of [text, plain]) one.add(piece)
        long.add(piece)
      }
      equal(toText(text.written()), JSON.stringify(whole))
      equal(toText(text.written()), JSON.stringify(whole), 'and again')
      equal(toText(plain.written()), whole)
      equal(byteLengthOf(plain.written()), Buffer.byteLength(whole))
      equal(long.length, whole.length)
      equal(long.toString(), whole)
      equal(long.take().join(''), whole)
      equal(long.length, 0)
    })
  )
})

t.test('halves of characters that never meet are escaped', async (t) => {
  const text = new OutputText(ENDLESS_ROOM)
  const whole = `${'x'.repeat(4095)}\ud83d`
  text.add(whole)
  t.equal(toText(text.written()), JSON.stringify(whole))
  text.add('y\udc00'.repeat(4096))
  t.equal(JSON.parse(toText(text.written())), whole + 'y\udc00'.repeat(4096))
})

t.test('a text that is long is kept outside of the heap, and shared', async (t) => {
  const held: number[] = []
  const room: AnswerRoom = { ...ENDLESS_ROOM, hold: (bytes) => held.push(bytes) > 0 }
  const text = new OutputText(room)
  for (let count = 0; count < 100_000; count++) text.add('0123456789')
  t.same(held.slice(0, 5), [8192, 16_384, 32_768, 65_536, 65_536])
  const bytes = held.reduce((sum, one) => sum + one)
  t.ok(bytes < 1_000_000 + 65_536, `${bytes} bytes held for 1,000,000`)
  const [first, second] = [text.written(), text.written()]
  const buffers = (written: typeof first) =>
    Array.from(written).filter((one) => typeof one !== 'string')
  t.ok(buffers(first).every((one, index) => one.buffer === buffers(second)[index]?.buffer))
})

t.test('without room nothing is added', async (t) => {
  const text = new OutputText({ ...ENDLESS_ROOM, hold: () => false })
  t.ok(text.add('x'.repeat(4095)))
  t.notOk(text.add('y'))
  t.equal(toText(text.written()), `"${'x'.repeat(4095)}"`)
})

t.test('without room for all of a piece nothing of it is added', async (t) => {
  let blocks = 0
  const text = new OutputText({ ...ENDLESS_ROOM, hold: () => blocks++ === 0 })
  t.ok(text.add('x'.repeat(5000)))
  t.notOk(text.add('y'.repeat(5000)))
  t.equal(toText(text.written()), `"${'x'.repeat(5000)}"`)
})

t.test('glue() joins strings, and leaves bytes as they are', async (t) => {
  const bytes = Buffer.from('é')
  t.equal(glue('a', '', 'b'), 'ab')
  t.same(glue('a', 'b', [bytes, 'c'], '', 'd'), ['ab', bytes, 'cd'])
  t.same(glueWith(',', ['a', [bytes], 'c']), ['a,', bytes, ',c'])
  t.equal(glueWith(',', []), '')
})

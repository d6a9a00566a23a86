import { equal } from 'node:assert/strict'
import t from 'tap'
import { findPartial } from '../../../src/dialects/answer/text-stages.ts'
import { assert, property, string } from '../../helper/fast-check.ts'

for (const [text, needle, at] of [
  ['', 'END', 0],
  ['abc', 'END', 3],
  ['abcE', 'END', 3],
  ['abcEN', 'END', 3],
  ['abcEND', 'END', 6],
  ['EEN', 'END', 1],
  ['EE', 'END', 1],
  ['aaa', 'aaab', 0],
  ['aaaa', 'aaab', 1],
  ['a', 'a', 1]
] as const) {
  t.test(`of "${text}" what may become "${needle}" begins at ${at}`, async (t) => {
    t.equal(findPartial(text, needle), at)
  })
}

t.test('finds the longest tail that begins the needle, and never the whole needle', async () => {
  const word = string({ unit: 'binary-ascii', maxLength: 8 }).map((raw) =>
    raw.replaceAll(/[^ab]/g, 'a')
  )
  assert(
    property(word, word, (text, rest) => {
      const needle = `a${rest}`
      const tails = Array.from({ length: text.length }, (_, index) => index)
      const first = tails.find((at) => {
        const tail = text.slice(at)
        return tail.length < needle.length && needle.startsWith(tail)
      })
      equal(findPartial(text, needle), first ?? text.length)
    })
  )
})

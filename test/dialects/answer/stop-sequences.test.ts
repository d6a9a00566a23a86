import { deepEqual } from 'node:assert/strict'
import t from 'tap'
import { StopSequences } from '../../../src/dialects/answer/text-stages.ts'
import { fastestMs } from '../../helper/cost.ts'
import { growthOf } from '../../helper/growth.ts'
import { array, assert, nat, property, string } from '../../helper/fast-check.ts'
import { cutAt, sliceBy } from '../../helper/upstream-events.ts'

function read(stops: readonly string[], deltas: readonly string[]): [string, string | null] {
  const found: string[] = []
  const sequences = new StopSequences(stops, (sequence) => found.push(sequence))
  const text = deltas.map((delta) => sequences.push(delta)).join('') + sequences.release()
  if (found.length > 1) throw new Error('an answer stops once')
  return [text, found[0] ?? null]
}

function ignore(): void {}

/** What the rule says of the whole text: the first to begin, of two the shorter. */
function expected(stops: readonly string[], text: string): [string, string | null] {
  const found = stops
    .filter((stop) => stop !== '' && text.includes(stop))
    .map((stop) => ({ stop, at: text.indexOf(stop) }))
    .toSorted((a, b) => a.at - b.at || a.stop.length - b.stop.length)[0]
  return found === undefined ? [text, null] : [text.slice(0, found.at), found.stop]
}

const cases: readonly [
  name: string,
  stops: string[],
  answer: string,
  text: string,
  match: string | null
][] = [
  ['stops at a string that came in pieces', ['END'], 'abcENDxyz', 'abc', 'END'],
  ['releases what only looked like it', ['END'], 'abcENM', 'abcENM', null],
  ['releases half a stop string at the end', ['END'], 'abcEN', 'abcEN', null],
  ['stops at the very beginning', ['END'], 'ENDx', '', 'END'],
  ['stops at the very end', ['END'], 'xEND', 'x', 'END'],
  ['finds a match behind a false start', ['aab'], 'aaab', 'a', 'aab'],
  ['takes the first of several', ['b', 'a'], 'xxaxb', 'xx', 'a'],
  ['takes the shorter of two that begin together', ['END', 'EN'], 'xEND', 'x', 'EN'],
  ['takes the one that begins first', ['bc', 'abcd'], 'xabcd', 'x', 'abcd'],
  ['takes the inner one when the outer fails', ['bc', 'abcd'], 'xabcx', 'xa', 'bc'],
  ['takes the inner one when the text ends', ['bc', 'abcd'], 'xabc', 'xa', 'bc'],
  ['ignores empty strings', ['', 'END'], 'aEND', 'a', 'END'],
  ['lets all through without stop strings', [], 'abc', 'abc', null],
  ['stops at line breaks', ['\n\nHuman:', 'Human:'], 'hi\n\nHuman: yo', 'hi', '\n\nHuman:'],
  ['stops at a tag', ['</severity>'], '<severity>3</severity>', '<severity>3', '</severity>'],
  ['stops at a pair of surrogates', ['😀'], 'a😁😀', 'a😁', '😀']
]

for (const [name, stops, answer, text, match] of cases) {
  t.test(`${name}, in slices of every size`, async (t) => {
    for (let size = 1; size <= answer.length + 1; size++) {
      t.same(read(stops, sliceBy(answer, size)), [text, match], `size ${size}`)
    }
  })
}

t.test('finds the same in any text, however it is cut', async () => {
  const words = string({ unit: 'grapheme-ascii', maxLength: 4 }).map((word) =>
    word.replaceAll(/[^ab]/g, 'ab')
  )
  assert(
    property(
      array(words, { maxLength: 4 }),
      array(words, { maxLength: 8 }),
      array(nat(), { maxLength: 8 }),
      (stops, pieces, places) => {
        const text = pieces.join('')
        deepEqual(read(stops, cutAt(text, places)), expected(stops, text))
      }
    )
  )
})

t.test('holds no more than a stop string less its last character', async (t) => {
  const found: string[] = []
  const sequences = new StopSequences(['END'], (sequence) => found.push(sequence))
  t.equal(sequences.push('abcE'), 'abc')
  t.equal(sequences.push('N'), '')
  t.equal(sequences.push('ND'), 'ENND')
  t.same(found, [])
})

t.test('says nothing after a match', async (t) => {
  const sequences = new StopSequences(['X'], ignore)
  sequences.push('aX')
  t.equal(sequences.push('b'), '')
  t.equal(sequences.release(), '')
})

t.test('empty strings stop nothing', async (t) => {
  const sequences = new StopSequences(['', ''], ignore)
  t.equal(sequences.push('abc'), 'abc')
  t.equal(sequences.release(), '')
})

t.test('long stop strings that are begun again and again cost time like short ones', async (t) => {
  const long = Array.from({ length: 16 }, (_, index) => `${'a'.repeat(4095 - index)}b`)
  const short = Array.from({ length: 16 }, (_, index) => `stop ${index}`)
  for (const [what, unit] of [
    ['the same character', 'a'],
    ['near misses', 'aaac'],
    ['misses at the end', `${'a'.repeat(4000)}c`]
  ] as const) {
    const run = (stops: readonly string[], chars: number) => (): void => {
      const stopSequences = new StopSequences(stops, ignore)
      const text = unit.repeat(Math.ceil(chars / unit.length))
      for (let at = 0; at < chars; at += 20) stopSequences.push(text.slice(at, at + 20))
    }
    const growth = growthOf((kb) => run(long, kb * 1000))
    t.ok(growth.isLinear, `${what}: ${growth.told}`)
    const once = fastestMs(run(long, 100_000), 3)
    const usual = fastestMs(run(short, 100_000), 3)
    t.ok(once <= usual * 20 + 20, `${what}: ${once} ms, ${usual} ms with short ones`)
  }
})

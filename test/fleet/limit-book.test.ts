import t from 'tap'
import {
  isToldIn,
  joinBooks,
  type LimitBook,
  parseLimitBook,
  partOf,
  wantsIn,
  withGift,
  withHeritage,
  withSelf,
  withWant
} from '../../src/fleet/limit-book.ts'
import * as fc from '../helper/fast-check.ts'

const SIZE = { limit: 10, replicas: 3 }
const NAMES = ['a', 'b', 'c'] as const
const EMPTY: LimitBook = { period: 1, seats: {} }

function seated(...names: readonly string[]): LimitBook {
  let book = EMPTY
  for (const name of names) {
    const self = { inc: `${name}0`, era: 'era', rev: 1 }
    book = withSelf(book, name, { self, size: SIZE, isKnown: () => false })
  }
  return book
}

function partsOf(book: LimitBook): readonly number[] {
  return NAMES.map((name) => partOf(book, name, SIZE))
}

t.test('whatever is given, all parts are the limit', async (t) => {
  const name = fc.constantFrom(...NAMES)
  const gift = fc.record({ from: name, to: name, amount: fc.integer({ min: -5, max: 20 }) })
  fc.assert(
    fc.property(fc.array(gift), (gifts) => {
      let book = seated(...NAMES)
      for (const one of gifts) if (one.from !== one.to) book = withGift(book, one)
      return partsOf(book).reduce((sum, part) => sum + part, 0) === SIZE.limit
    })
  )
  t.same(partsOf(seated(...NAMES)), [4, 3, 3], 'what does not divide is the first ones')
  t.same(partsOf(seated('c', 'b', 'a')), [3, 3, 4])
  t.equal(partOf(seated(...NAMES, 'd'), 'd', SIZE), 0, 'one too many has nothing by right')
  t.equal(partOf(EMPTY, 'a', SIZE), 0)
})

t.test('books that are joined know what both know', async (t) => {
  const book = withGift(seated(...NAMES), { from: 'a', to: 'b', amount: 2 })
  const stale = withWant(seated(...NAMES), 'c', 3)
  for (const joined of [joinBooks(book, stale), joinBooks(stale, book)]) {
    t.same(partsOf(joined), [2, 5, 3])
    t.ok(isToldIn(book, joined))
  }
  t.equal(joinBooks(book, stale).seats['c']?.want, 3, 'wishes are as they were found')
  t.same(partsOf(joinBooks(book, EMPTY)), [2, 5, 3], 'also of one that has forgotten all')
  t.notOk(isToldIn(book, null))
  t.notOk(isToldIn(book, stale))
  t.ok(isToldIn(EMPTY, null))
  const next = { ...EMPTY, period: 2 }
  t.equal(joinBooks(book, next), next)
  t.equal(joinBooks(next, book), next)
  t.ok(isToldIn(book, next))
  t.notOk(isToldIn(next, book))
})

t.test('who comes after an earlier process', async (t) => {
  const book = withGift(seated(...NAMES), { from: 'b', to: 'a', amount: 1 })
  const self = { inc: 'a1', era: 'era', rev: 2 }
  const known = withSelf(book, 'a', { self, size: SIZE, isKnown: (inc) => inc === 'a0' })
  t.equal(partOf(known, 'a', SIZE), 5, 'goes on with all of it, if it knows what was used')
  const unknown = withSelf(book, 'a', { self, size: SIZE, isKnown: () => false })
  t.equal(partOf(unknown, 'a', SIZE), 0, 'or with nothing')
  t.equal(withSelf(unknown, 'a', { self, size: SIZE, isKnown: () => false }), unknown)
  const heir = withHeritage(book, 'c', { size: SIZE, isGone: ({ inc }) => inc === 'a0' })
  t.same(partsOf(heir), [0, 2, 8])
})

t.test('a debt is a need', async (t) => {
  const book = withGift(seated(...NAMES), { from: 'b', to: 'a', amount: 3 })
  const small = { limit: 3, replicas: 3 }
  t.match(wantsIn(book, 'a', small), [{ name: 'b', part: -2, want: 2, due: 2 }])
  t.match(wantsIn(withWant(book, 'c', 4), 'a', SIZE), [{ name: 'c', want: 4, due: 0 }])
})

t.test('what stands in the engine may be anything', async (t) => {
  const good = JSON.stringify(seated('a'))
  t.same(parseLimitBook(good), seated('a'))
  const hostile = [
    '',
    'null',
    '[]',
    '{}',
    '{"period":1}',
    '{"period":-1,"seats":{}}',
    '{"period":1e99,"seats":{}}',
    '{"period":1,"seats":[]}',
    good.replace('"a"', '"../a"'),
    good.replace('"a"', '"__proto__"'),
    good.replace('"want":0', '"want":-1'),
    good.replace('"want":0', '"want":"1"'),
    good.replace('"lost":0', '"lost":1e300'),
    good.replace('"gave":{}', '"gave":{"b":0.5}'),
    good.replace('"gave":{}', '"gave":[]'),
    good.replace('"a0"', '7'),
    JSON.stringify(seated(...Array.from({ length: 129 }, (_, at) => `n${at}`)))
  ]
  for (const text of hostile) t.equal(parseLimitBook(text), null, text.slice(0, 80))
})

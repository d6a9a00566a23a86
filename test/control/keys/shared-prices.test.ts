import t from 'tap'
import { SharedPrices } from '../../../src/control/keys/shared-prices.ts'
import { MICROS_PER_CREDIT as CREDIT } from '../../../src/keys/key.ts'
import type { PriceLesson, PriceLessons } from '../../../src/keys/prices.ts'

function costs(one: PriceLessons | undefined) {
  return one?.lessons.map(([, credits]) => credits / CREDIT)
}

t.test('SharedPrices', (t) => {
  t.test('adds what was learnt before the book was open to what it says', (t) => {
    const told: PriceLessons[] = []
    const kept: PriceLessons[] = []
    const prices = new SharedPrices({
      tell: (one) => told.push(one),
      keep: (one) => kept.push(one)
    })
    t.teardown(() => prices.close())
    prices.onLessons([{ model: 'auto', inputTokens: 100, credits: 3 * CREDIT }])
    const at = Date.now() - 1000
    const lessons: readonly PriceLesson[] = [
      [at, CREDIT, 0],
      [at + 1, 2 * CREDIT, 0]
    ]
    const other = { model: 'auto', size: 5, lessons }
    prices.adopt([{ model: 'auto', size: 0, lessons }, other])
    t.same(costs(prices.all().find(({ size }) => size === 0)), [1, 2, 3])
    t.same(costs(told.at(-2)), [1, 2, 3], 'workers hear of all')
    t.same(kept.map(costs), [[3], [1, 2, 3]], 'and so does the book, but not of what it has')
    t.same(told.at(-1), other)
    t.end()
  })

  t.test('has all written that a new book does not have', (t) => {
    const kept: PriceLessons[] = []
    const prices = new SharedPrices({ tell: () => {}, keep: (one) => kept.push(one) })
    t.teardown(() => prices.close())
    prices.adopt([{ model: 'auto', size: 5, lessons: [[Date.now(), CREDIT, 0]] }])
    prices.onLessons([{ model: 'other', inputTokens: 100, credits: 3 * CREDIT }])
    kept.length = 0
    prices.adopt([]) // a damaged one was set aside
    t.same(kept, prices.all())
    t.equal(kept.length, 2)
    t.end()
  })
  t.end()
})

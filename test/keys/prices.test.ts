import t from 'tap'
import { MICROS_PER_CREDIT as CREDIT } from '../../src/keys/key.ts'
import { PriceTable, sizeOf } from '../../src/keys/prices.ts'

const NOW = Date.parse('2026-11-30T12:00:00Z')
const DAY = 86_400_000
const SMALL = { model: 'auto', inputTokens: 900 }
const LARGE = { model: 'auto', inputTokens: 120_000 }

function learnt(costs: readonly number[], request = SMALL, at = NOW): PriceTable {
  const table = new PriceTable()
  for (const credits of costs) table.learn(request, credits * CREDIT, at)
  return table
}

t.test('PriceTable', (t) => {
  t.test('says what is listed while nothing is known of a model', (t) => {
    t.same(new PriceTable().estimate(SMALL, 0.06 * CREDIT, NOW), {
      credits: 60_000,
      isUnknown: true
    })
    t.end()
  })

  t.test('has no floor but what was learnt', (t) => {
    const { credits, isUnknown } = learnt([0.01, 0.01, 0.01]).estimate(SMALL, CREDIT, NOW)
    t.same({ credits, isUnknown }, { credits: 10_000, isUnknown: false })
    t.end()
  })

  t.test('believes the first answer of a model, unless it is beyond reason', (t) => {
    t.match(learnt([4]).estimate(SMALL, CREDIT, NOW), { credits: 4 * CREDIT, isUnknown: false })
    t.match(learnt([100]).estimate(SMALL, CREDIT, NOW), { credits: CREDIT, isUnknown: true })
    t.match(learnt([100, 100, 100]).estimate(SMALL, CREDIT, NOW), { credits: 100 * CREDIT })
    t.end()
  })

  t.test('takes a high quantile, and one outlier teaches nothing', (t) => {
    for (const count of [2, 5, 19, 31]) {
      const table = learnt([...Array<number>(count).fill(1), 100])
      t.equal(table.estimate(SMALL, CREDIT, NOW).credits, CREDIT, `among ${count + 1}`)
    }
    const mixed = learnt(Array.from({ length: 30 }, (_, n) => (n % 5 === 0 ? 3 : 1)))
    t.equal(mixed.estimate(SMALL, CREDIT, NOW).credits, 3 * CREDIT, 'what is usual is not one')
    t.end()
  })

  t.test('measures an answer that nobody has metered by its tokens', (t) => {
    const table = new PriceTable()
    t.equal(table.measure({ ...SMALL, outputTokens: 100 }, CREDIT, NOW), null, 'nothing is known')
    table.learn(SMALL, CREDIT, NOW)
    t.equal(table.measure({ ...SMALL, outputTokens: 100 }, CREDIT, NOW), null, 'of no token')
    for (let n = 0; n < 5; n++) table.learn({ ...SMALL, outputTokens: 100 }, 4 * CREDIT, NOW)
    const measured = (outputTokens: number, inputTokens = 900) =>
      (table.measure({ ...SMALL, inputTokens, outputTokens }, CREDIT, NOW) ?? NaN) / CREDIT
    t.equal(measured(100), 4, 'as much as the others')
    t.ok(measured(0) > 2 && measured(0) < 2.5, 'the request alone is a part of it')
    t.ok(measured(1000) > 19, 'and a long answer more than any that was seen')
    table.learn({ ...SMALL, outputTokens: 100 }, 400 * CREDIT, NOW)
    t.equal(measured(100), 4, 'one outlier teaches nothing')
    t.ok(measured(0, 40_000) > 90, 'the nearest size tells of others')
    t.end()
  })

  t.test('lets nobody gain by leaving: what is measured is a high price', (t) => {
    const table = new PriceTable()
    for (let n = 0; n < 30; n++)
      table.learn({ ...SMALL, outputTokens: 100 }, (n % 5 === 0 ? 8 : 4) * CREDIT, NOW)
    t.equal(table.measure({ ...SMALL, outputTokens: 100 }, CREDIT, NOW), 8 * CREDIT)
    const later = table.measure({ ...SMALL, outputTokens: 100 }, CREDIT, NOW + 2 * DAY)
    t.equal(later, 4 * CREDIT, 'after a day the median')
    t.end()
  })

  t.test('forgets without traffic', (t) => {
    const table = learnt([1, 1, 1, 50, 50, 50])
    t.equal(table.estimate(SMALL, CREDIT, NOW).credits, 50 * CREDIT)
    t.equal(table.estimate(SMALL, CREDIT, NOW + 2 * DAY).credits, CREDIT, 'after a day the median')
    t.match(table.estimate(SMALL, CREDIT, NOW + 31 * DAY), { credits: CREDIT, isUnknown: true })
    table.learn(SMALL, 2 * CREDIT, NOW + 2 * DAY)
    t.equal(table.estimate(SMALL, CREDIT, NOW + 2 * DAY).credits, 2 * CREDIT, 'news counts alone')
    t.end()
  })

  t.test('prices a longer question at a multiple, up to four times as long', (t) => {
    const table = learnt([0.02, 0.02, 0.02])
    const estimateOf = (inputTokens: number) =>
      table.estimate({ model: 'auto', inputTokens }, CREDIT / 100, NOW)
    t.same(estimateOf(2000), { credits: 0.04 * CREDIT, isUnknown: false })
    t.same(estimateOf(4000), { credits: 0.08 * CREDIT, isUnknown: false })
    t.same(estimateOf(8000), { credits: 0.08 * CREDIT, isUnknown: true }, 'beyond, nobody knows')
    const mixed = learnt([0.5, 0.5, 0.5, 7, 7]).estimate(LARGE, CREDIT, NOW)
    t.same(mixed, { credits: 2 * CREDIT, isUnknown: true }, 'short ones do not double their way up')
    t.end()
  })

  t.test('does not take a long question to price a short one', (t) => {
    const table = learnt([6.4, 6.4, 6.4], LARGE)
    t.same(table.estimate(SMALL, CREDIT, NOW), { credits: 0.05 * CREDIT, isUnknown: true })
    table.learn(SMALL, CREDIT / 100, NOW)
    t.same(table.estimate(SMALL, CREDIT, NOW), { credits: CREDIT / 100, isUnknown: false })
    t.equal(table.estimate(LARGE, CREDIT, NOW).credits, 6.4 * CREDIT)
    t.end()
  })

  t.test('has bounds', (t) => {
    const table = new PriceTable()
    for (let n = 0; n < 100; n++) {
      for (let size = 0; size < 30; size++)
        table.learn({ model: `m${n}`, inputTokens: 1000 * 2 ** size }, CREDIT, NOW)
    }
    for (let n = 0; n < 100; n++) table.learn({ model: 'm99', inputTokens: 1 }, CREDIT, NOW)
    const all = table.all()
    t.equal(new Set(all.map(({ model }) => model)).size, 64)
    t.ok(all.every(({ lessons, size }) => lessons.length <= 32 && size <= 12))
    t.equal(sizeOf(Infinity), 12)
    const huge = learnt([1e300, 1e300, 1e300]).estimate(SMALL, CREDIT, NOW).credits
    t.ok(Number.isSafeInteger(huge), String(huge))
    t.end()
  })

  t.test('takes another answer for news until three of a size are fresh', (t) => {
    const isNews = (costs: readonly number[], at = NOW): boolean =>
      !learnt(costs).isKnown(SMALL, at)
    t.same([isNews([]), isNews([1, 1]), isNews([1, 1, 1])], [true, true, false])
    t.ok(isNews([1, 1, 1], NOW + DAY))
    const table = learnt([1, 1, 1])
    table.learn(SMALL, CREDIT, NOW + DAY)
    t.notOk(table.isKnown(SMALL, NOW + DAY), 'a single fresh one may still be an outlier')
    t.notOk(table.isKnown({ ...SMALL, model: 'another' }, NOW))
    t.notOk(learnt([1, 1, 1]).isKnown(LARGE, NOW), 'another size')
    t.end()
  })

  t.test('adds what the book says to what was learnt before it said so', (t) => {
    const table = learnt([3], SMALL, NOW)
    const stored = learnt([1, 2], SMALL, NOW - 1000).all()
    const [first] = stored
    if (first === undefined) throw new Error('nothing is stored')
    const merged = table.merge(first)
    t.same(
      merged.lessons.map(([, credits]) => credits / CREDIT),
      [1, 2, 3]
    )
    t.same(table.merge(first), merged, 'once')
    t.same(table.all(), [merged])
    const [newer] = learnt([4], SMALL, NOW + 1000).all()
    if (newer === undefined) throw new Error('nothing is stored')
    t.same(
      table.merge(newer).lessons.map(([, credits]) => credits / CREDIT),
      [1, 2, 3, 4],
      'the oldest first'
    )
    t.end()
  })

  t.test('is the same when it is told again', (t) => {
    const table = learnt([1, 2, 3])
    const copy = new PriceTable()
    for (const one of table.all()) copy.adopt(one)
    t.same(copy.all(), table.all())
    t.end()
  })
  t.end()
})

import { ok } from 'node:assert/strict'
import t from 'tap'
import {
  countBy,
  errorsOf,
  type GaugeState,
  hiddenOf,
  learnFrom,
  newGauge,
  parseGauge,
  type TokenLesson
} from '../../../src/kiro/tokens/token-gauge.ts'
import * as fc from '../../helper/fast-check.ts'
import { seededRandom } from '../../helper/seeded-random.ts'

const NO_LESSON = { model: 'm', within: 10 }

/** A request of words and of some symbols. */
function groupsOf(tokens: number): readonly number[] {
  return [tokens * 0.7, tokens * 0.25, tokens * 0.05, 0, 0, 0, 0, 0]
}

function learnAll(
  lessons: readonly Omit<TokenLesson, 'model'>[],
  start = newGauge('m')
): GaugeState {
  return lessons.reduce(
    (gauge, lesson) => learnFrom(gauge, { model: 'm', ...lesson }) ?? gauge,
    start
  )
}

/** Requests of 500 to 100,000 tokens, of which an upstream makes more and adds its own prompt. */
function lessonsOf(
  factor: number,
  hidden: number,
  count = 20
): readonly Omit<TokenLesson, 'model'>[] {
  const random = seededRandom(count)
  return Array.from({ length: count }, () => {
    const tokens = 500 * 200 ** random()
    const noise = 1 + (random() - 0.5) * 0.04
    return {
      groups: groupsOf(tokens),
      measured: Math.round(tokens * factor * noise + hidden),
      within: 10
    }
  })
}

for (const [factor, hidden] of [
  [1, 0],
  [1, 2_000],
  [1.15, 2_050],
  [0.85, 1_200],
  [1.3, 3_000],
  [1.3, 6_000]
] as const) {
  t.test(
    `20 answers tell ${factor} times the tokens and ${hidden} hidden ones apart`,
    async (t) => {
      const gauge = learnAll(lessonsOf(factor, hidden))
      const found = hiddenOf(gauge) ?? Number.NaN
      t.ok(Math.abs(found - hidden) < 250 + hidden * 0.05, `hidden: ${found}`)
      const { input, within } = countBy(gauge, groupsOf(50_000))
      t.ok(Math.abs(input / (50_000 * factor) - 1) < 0.02, `input: ${input}`)
      t.ok(within < 50_000 * factor * 0.1, `within: ${within}`)
    }
  )
}

t.test('the first answer corrects what all texts have in common', async (t) => {
  const gauge = learnAll([{ groups: groupsOf(50_000), measured: 62_000, within: 10 }])
  const chinese = [0, 0, 0, 10_000, 0, 0, 0, 0]
  t.ok(countBy(gauge, chinese).input > 11_000)
})

t.test('the hidden prompt is unknown until it is certain', async (t) => {
  t.equal(hiddenOf(newGauge('m')), null)
  const large = { groups: groupsOf(400_000), measured: 402_000, within: 10 }
  t.equal(hiddenOf(learnAll([large, large])), null)
  t.equal(typeof hiddenOf(learnAll(lessonsOf(1, 2_000))), 'number')
})

t.test('one figure that is far off moves hardly anything', async (t) => {
  const known = learnAll(lessonsOf(1, 2_000, 40))
  const before = countBy(known, groupsOf(20_000)).input
  for (const measured of [36_000, 12_000]) {
    const after = learnAll([{ groups: groupsOf(20_000), measured, within: 10 }], known)
    t.ok(Math.abs(countBy(after, groupsOf(20_000)).input / before - 1) < 0.06, String(measured))
  }
  for (const measured of [1_000_000, 0, Number.NaN, -5, Infinity])
    t.equal(learnFrom(known, { ...NO_LESSON, groups: groupsOf(20_000), measured }), null)
})

t.test('texts that count unlike all others hardly move the counts of those', async (t) => {
  for (const factor of [0.45, 2.3]) {
    const odd = { groups: [50_000, 0, 0, 0, 0, 0, 0, 0], measured: 50_000 * factor, within: 10 }
    const usual = lessonsOf(1, 2_000, 300)
    const all = usual.flatMap((lesson, at) => (at % 9 === 8 ? [lesson, odd] : [lesson]))
    const { input } = countBy(learnAll(all), groupsOf(10_000))
    t.ok(Math.abs(input - 10_000) < 200, `${input} for one in ten of ${factor} times the tokens`)
  }
})

t.test('an upstream that counts in another way from now on is followed', async (t) => {
  const changed = learnAll(lessonsOf(1.3, 2_000, 12), learnAll(lessonsOf(1, 2_000, 60)))
  const { input } = countBy(changed, groupsOf(50_000))
  t.ok(Math.abs(input / 65_000 - 1) < 0.05, String(input))
})

t.test('a measurement that may be far off teaches little', async (t) => {
  const lesson = { groups: groupsOf(20_000), measured: 26_000 }
  const [exact, rough] = [10, 6_000].map((within) => learnAll([{ ...lesson, within }]))
  const inputs = [exact, rough].map(
    (gauge) => countBy(gauge ?? newGauge('m'), groupsOf(20_000)).input
  )
  t.ok((inputs[1] ?? 0) < 21_500 && (inputs[0] ?? 0) > 22_500, inputs.join())
})

t.test('errors are those of the newest 64 counts, before they were measured', async (t) => {
  t.equal(errorsOf(newGauge('m')), null)
  const gauge = learnAll(lessonsOf(1, 2_000, 100))
  t.match(errorsOf(gauge), { counts: 64 })
  t.ok((errorsOf(gauge)?.p95 ?? 1) < 0.05)
})

const tokens = fc.double({ min: 0, max: 1e8, noNaN: true })
const lessons = fc.array(
  fc.record({
    groups: fc.array(tokens, { minLength: 8, maxLength: 8 }),
    measured: fc.oneof(tokens, fc.constantFrom(Number.NaN, Infinity, -1)),
    within: tokens
  }),
  { maxLength: 40 }
)

t.test('whatever is measured, counts stay within their bounds', async () => {
  fc.assert(
    fc.property(lessons, (given) => {
      const gauge = learnAll(given)
      const { input } = countBy(gauge, groupsOf(10_000))
      ok(input >= 5_000 && input <= 20_000, `input: ${input}`)
      const hidden = (gauge.factors.at(-1) ?? 0) * 1_000
      ok(hidden >= 0 && hidden <= 20_000, `hidden: ${hidden}`)
      ok(gauge.spread.every(Number.isFinite) && gauge.errors.length <= 64)
      const after = learnAll(lessonsOf(1, 2_000, 60), gauge)
      ok(Math.abs(countBy(after, groupsOf(50_000)).input / 50_000 - 1) < 0.1, 'it can still learn')
    })
  )
})

t.test('parseGauge()', async (t) => {
  const gauge = learnAll(lessonsOf(1.1, 2_000))
  t.same(parseGauge(JSON.stringify(gauge)), gauge)
  for (const damaged of [
    '',
    '{}',
    JSON.stringify({ ...gauge, factors: [1] }),
    JSON.stringify({ ...gauge, spread: gauge.spread.map(() => 1e12) }),
    JSON.stringify({ ...gauge, model: 'm'.repeat(300) }),
    JSON.stringify({ ...gauge, errors: gauge.factors.map(String) })
  ])
    t.equal(parseGauge(damaged), null)
  const wild = parseGauge(JSON.stringify({ ...gauge, factors: gauge.factors.map(() => 1e6) }))
  t.ok(wild !== null && countBy(wild, groupsOf(1_000)).input <= 2_500, 'factors are bounded')
})

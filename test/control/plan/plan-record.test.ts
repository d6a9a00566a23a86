import t from 'tap'
import {
  dayOf,
  growthOn,
  isDrifting,
  MAX_DAYS,
  nextPlan,
  outsideOf,
  parsePlan,
  type PlanLook,
  type PlanRecord
} from '../../../src/control/plan/plan-record.ts'

const NOON = Date.parse('2026-12-15T12:00:00Z')
const RESET = Date.parse('2027-01-01T00:00:00Z')
const [MINUTE_MS, HOUR_MS, DAY_MS] = [60_000, 3_600_000, 86_400_000]
const TODAY = dayOf(NOON)

function lookAt(at: number, used: number, more: Partial<PlanLook> = {}): PlanLook {
  return { at, plan: 'PRO', used: used * 1e6, limit: 1e9, resetsAt: RESET, others: {}, ...more }
}

type LookedAt = readonly [at: number, used: number, booked: number, more?: Partial<PlanLook>]

/** Looks one after the other: when, what Kiro says, what the book says, both in credits. */
function records(...looks: readonly LookedAt[]): PlanRecord {
  let record: PlanRecord | null = null
  for (const [at, used, booked, more] of looks)
    record = nextPlan(record, lookAt(at, used, more), booked * 1e6)
  if (record === null) throw new Error('there was no look')
  return record
}

function outsideToday(record: PlanRecord): number {
  return outsideOf(growthOn(record, TODAY)) / 1e6
}

t.test('nextPlan()', (t) => {
  t.test('begins with whatever was used before, of which nothing is said', async (t) => {
    const record = records([NOON, 700, 20])
    t.match(record.since, { at: NOON, used: 0, booked: 0 })
    t.same(record.days, [])
  })

  t.test('finds what was used elsewhere', async (t) => {
    const record = records(
      [NOON, 700, 20],
      [NOON + MINUTE_MS, 710, 30],
      [NOON + HOUR_MS, 718.1, 35]
    )
    t.equal(Math.round(outsideToday(record) * 10), 31)
    t.equal(Math.round(outsideOf(record.since) / 1e5), 31)
  })

  t.test(
    'says nothing while the figure lags, and all of it is there when it has caught up',
    async (t) => {
      const lagging = records([NOON, 700, 0], [NOON + MINUTE_MS, 700, 50])
      t.equal(outsideToday(lagging), 0)
      t.equal(outsideToday(nextPlan(lagging, lookAt(NOON + 2 * MINUTE_MS, 752), 50e6)), 2)
    }
  )

  t.test(
    'begins anew when the plan is reset, a trial ends, or the book is another one',
    async (t) => {
      const next = RESET + 31 * DAY_MS
      for (const [used, booked, more] of [
        [5, 110, { resetsAt: next }],
        [900, 110, { resetsAt: next }],
        [200, 110, {}],
        [900, 3, {}]
      ] as const) {
        const record = records(
          [NOON, 700, 100],
          [NOON + MINUTE_MS, 706, 105],
          [NOON + 2 * MINUTE_MS, used, booked, more]
        )
        t.match(record.since, { at: NOON + 2 * MINUTE_MS, used: 0, booked: 0 })
        t.equal(outsideToday(record), 1, 'what is known of the day stays')
      }
      const same = records(
        [NOON, 700, 0],
        [NOON + 1, 699.8, 0],
        [NOON + 2, 702, 1, { resetsAt: RESET + 500 }]
      )
      t.equal(same.since.at, NOON, 'a figure that is rounded, and a date to the second')
    }
  )

  t.test('counts what grew over a night without looks for no day', async (t) => {
    const night = records([NOON - 20 * HOUR_MS, 700, 0], [NOON, 740, 0])
    t.equal(outsideToday(night), 0)
    t.equal(outsideOf(night.since), 40e6)
    const midnight = TODAY * DAY_MS
    t.equal(outsideToday(records([midnight - 300_000, 700, 0], [midnight + 300_000, 703, 0])), 3)
    t.equal(outsideToday(records([midnight + 300_000, 700, 0], [NOON, 703, 0])), 3)
  })

  t.test('goes on whatever the clock does', async (t) => {
    const before = records([NOON, 700, 0], [NOON + HOUR_MS, 701, 0])
    t.equal(
      nextPlan(before, lookAt(NOON, 705), 0),
      before,
      'set back by an hour, or looked at by two'
    )
    t.match(nextPlan(before, lookAt(NOON + 2 * HOUR_MS, 705), 0), { since: { used: 5e6 } })
    const far = nextPlan(before, lookAt(NOON - 40 * DAY_MS, 705), 0)
    t.match(far, { at: NOON - 40 * DAY_MS, days: [], since: { used: 0 } })
  })

  t.test('counts what other gateways of a fleet have recorded', async (t) => {
    const sumOf = (credits: number, from = NOON - DAY_MS) => ({ sum: credits * 1e6, from })
    const record = records(
      [NOON, 700, 0, { others: { b: sumOf(5), gone: sumOf(1) } }],
      [NOON + 1, 720, 8, { others: { b: sumOf(15), joined: sumOf(70) } }],
      [NOON + 2, 735, 8, { others: { b: sumOf(16), joined: sumOf(79), begun: sumOf(4, NOON) } }],
      [NOON + 3, 735, 8, { others: { b: sumOf(2), begun: sumOf(4, NOON) } }]
    )
    t.equal(outsideToday(record), 3, '35 more than before, of which 8, 11, 9 and 4 are recorded')
  })

  t.test('keeps so many days and no more', async (t) => {
    let record = records([NOON, 0, 0])
    for (let hour = 1; hour < 24 * 60; hour++) {
      const at = NOON + hour * HOUR_MS
      record = nextPlan(record, lookAt(at, hour, { resetsAt: null }), hour * 1e6)
    }
    t.equal(record.days.length, MAX_DAYS)
    t.ok(JSON.stringify(record).length < 4_000)
  })
  t.end()
})

t.test('isDrifting()', async (t) => {
  const dayBefore = [NOON - DAY_MS, 0, 0] as const
  const yesterday = [NOON - DAY_MS + HOUR_MS, 100, 100] as const
  const midnight = TODAY * DAY_MS
  const late = [midnight - MINUTE_MS, 100, 103] as const
  const is = (...looks: readonly LookedAt[]) => isDrifting(records(...looks), TODAY)
  t.equal(is([NOON, 0, 0], [NOON + 1, 1, 0]), false, 'a credit may be rounding')
  t.equal(is([NOON, 0, 0], [NOON + 1, 1.1, 0]), true)
  t.equal(is([NOON, 0, 0], [NOON + 1, 100, 95]), false)
  t.equal(is([NOON, 0, 0], [NOON + 1, 100, 94.9]), true)
  t.equal(is(dayBefore, yesterday, late, [midnight + 1, 103, 103]), false, 'it lagged at midnight')
  t.equal(is(dayBefore, yesterday, late, [midnight + 1, 110, 103]), true)
})

t.test('parsePlan() reads what is kept, and nothing else', async (t) => {
  const record = records(
    [NOON, 700, 20, { others: { b: { sum: 1, from: 1 } } }],
    [NOON + 1, 710, 25]
  )
  t.same(parsePlan(JSON.stringify(record)), record)
  const damaged = [
    'undefined',
    '{}',
    '[]',
    JSON.stringify({ ...record, used: null }),
    JSON.stringify({ ...record, others: { b: 1 } }),
    JSON.stringify({ ...record, days: [{ day: 1 }] }),
    JSON.stringify({ ...record, since: 5 }),
    JSON.stringify({ ...record, resetsAt: 'soon' })
  ]
  for (const text of damaged) t.equal(parsePlan(text), null)
})

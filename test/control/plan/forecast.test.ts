import t from 'tap'
import { forecastOf } from '../../../src/control/plan/forecast.ts'
import { dayOf, type PlanRecord, type PlanStory } from '../../../src/control/plan/plan-record.ts'

const DAY_MS = 86_400_000
/** A Tuesday. */
const NOW = Date.parse('2026-12-15T00:00:00Z')
const RESET = Date.parse('2027-01-01T00:00:00Z')
const TODAY = dayOf(NOW)

function storyOf(
  { used, ...more }: Partial<PlanRecord> & { readonly used: number },
  bookDays: PlanStory['bookDays'] = []
): PlanStory {
  const record: PlanRecord = {
    at: NOW,
    plan: 'PRO',
    limit: 1e9,
    resetsAt: RESET,
    others: {},
    booked: 0,
    since: { at: NOW - DAY_MS, used: 0, booked: 0 },
    days: [],
    ...more,
    used: used * 1e6
  }
  return { record, bookDays }
}

/** So many days up to yesterday, with credits by how many days ago each is. */
function daysOf(count: number, creditsOf: (ago: number, day: number) => number) {
  return Array.from({ length: count }, (_, at) => {
    const ago = count - at
    return [TODAY - ago, creditsOf(ago, TODAY - ago) * 1e6] as const
  })
}

function isWeekend(day: number): boolean {
  return [0, 6].includes(new Date(day * DAY_MS).getUTCDay())
}

function dayText(at: number | null | undefined): string | null {
  return at === null || at === undefined ? null : new Date(at).toISOString().slice(0, 10)
}

t.test('forecastOf()', (t) => {
  t.test('says nothing before there is a whole day', async (t) => {
    t.equal(forecastOf(storyOf({ used: 900 }), NOW), null)
    t.equal(forecastOf(storyOf({ used: 900 }, [[TODAY, 1e6]]), NOW), null)
    t.equal(forecastOf(storyOf({ used: 900 }, [[TODAY - 1, 1e6]]), NOW), null, 'half a day')
    t.not(
      forecastOf(
        storyOf(
          { used: 900 },
          daysOf(2, () => 20)
        ),
        NOW
      ),
      null
    )
  })

  t.test('goes on with a usual day until nothing is left, or the plan is reset', async (t) => {
    const days = daysOf(3, () => 20)
    const soon = forecastOf(storyOf({ used: 880 }, days), NOW)
    t.equal(soon?.perDay, 20e6)
    t.equal(dayText(soon?.usedUpAt), '2026-12-21')
    t.equal(forecastOf(storyOf({ used: 600 }, days), NOW)?.usedUpAt, null, 'it lasts')
    t.equal(
      dayText(forecastOf(storyOf({ used: 600, resetsAt: null }, days), NOW)?.usedUpAt),
      '2027-01-04'
    )
    t.equal(forecastOf(storyOf({ used: 1_000 }, days), NOW)?.usedUpAt, NOW, 'it is used up')
    t.equal(
      forecastOf(
        storyOf(
          { used: 900 },
          daysOf(3, () => 0)
        ),
        NOW
      )?.usedUpAt,
      null
    )
    t.equal(forecastOf(storyOf({ used: 900, limit: 0 }, days), NOW)?.usedUpAt, null)
  })

  t.test('knows weekends', async (t) => {
    const days = daysOf(29, (_, day) => (isWeekend(day) ? 0 : 20))
    const { usedUpAt } = forecastOf(storyOf({ used: 890 }, days), NOW) ?? {}
    // 20 from Tuesday to Friday, nothing on the weekend, 20 on Monday, half of Tuesday
    t.equal(dayText(usedUpAt), '2026-12-22')
  })

  t.test('is not misled by one day of much work', async (t) => {
    const days = daysOf(29, (ago) => (ago === 3 ? 400 : 10))
    t.equal(forecastOf(storyOf({ used: 900 }, days), NOW)?.perDay, 10e6)
  })

  t.test('counts what was used elsewhere', async (t) => {
    const counted = [1, 2].map((ago) => ({ day: TODAY - ago, used: 30e6, booked: 10e6 }))
    const days = daysOf(3, () => 10)
    const own = forecastOf(storyOf({ used: 900, days: counted }, days), NOW)
    t.equal(own?.perDay, 30e6)
    const since = { at: NOW - 2 * DAY_MS, used: 60e6, booked: 20e6 }
    t.equal(forecastOf(storyOf({ used: 900, since }, days), NOW)?.perDay, 30e6)
  })

  t.test('knows nothing of a period of which Kiro has not told yet', async (t) => {
    const days = daysOf(3, () => 20)
    const after = forecastOf(storyOf({ used: 1_000 }, days), RESET + DAY_MS)
    t.not(after?.usedUpAt, RESET + DAY_MS)
  })
  t.end()
})

import t from 'tap'
import { HISTORY_COLUMNS } from '../../src/dashboard/feed.ts'
import {
  DashboardHistory,
  HISTORY_STEP_MS,
  type Levels,
  type Totals
} from '../../src/dashboard/history.ts'

const NO_LEVELS: Levels = {
  inUse: 0,
  idle: 0,
  budget: null,
  waiting: 0,
  longestWaitMs: 0,
  streams: 0,
  firstP50Ms: null,
  firstP95Ms: null,
  totalP50Ms: null,
  totalP95Ms: null,
  memoryBytes: 0,
  cpuCores: 0,
  loopDelayMs: null,
  workers: 2
}

function totals(requests: number): Totals {
  return { requests, failed: 0, inputTokens: requests * 10, outputTokens: 0, credits: requests / 4 }
}

/** A history that began at 1 000 000, with a point for each of these totals. */
function historyOf(...requests: readonly number[]): DashboardHistory {
  const history = new DashboardHistory(1_000_000)
  for (const [step, count] of requests.entries()) {
    const at = 1_000_000 + (step + 1) * HISTORY_STEP_MS
    history.add({ at, shownAt: at + 5 }, totals(count), NO_LEVELS)
  }
  return history
}

t.test('rates count what came in the minute before, to the digit', async (t) => {
  const history = historyOf(...Array.from({ length: 30 }, (_, step) => (step < 15 ? 0 : 100)))
  const now = 1_000_000 + 30 * HISTORY_STEP_MS
  t.equal(history.rates(now, totals(100)).requestsPerMinute, 0, 'they came before')
  t.equal(history.rates(now, totals(107)).requestsPerMinute, 7)
  t.equal(history.rates(now, totals(107)).inputTokensPerMinute, 70)
  t.equal(history.rates(now, totals(107)).creditsLastHour, 107 / 4, 'all of them within the hour')
})

t.test('a gateway that has just begun has had what it has had', async (t) => {
  t.equal(historyOf().rates(1_000_500, totals(3)).requestsPerMinute, 3, 'without a point')
  t.equal(historyOf(2).rates(1_007_000, totals(5)).requestsPerMinute, 5)
})

t.test('between two points totals grow evenly, so that no rate jumps', async (t) => {
  const history = historyOf(...Array.from({ length: 40 }, (_, step) => 50 * (step + 1)))
  const end = 1_000_000 + 40 * HISTORY_STEP_MS
  for (const ms of [0, 1_000, 2_500, 4_999]) {
    const { requestsPerMinute } = history.rates(end + ms, totals(2_000 + ms / 100))
    t.ok(Math.abs(requestsPerMinute - 600) < 1e-6, `${requestsPerMinute} after ${ms} ms`)
  }
})

t.test('shows the last hour and no more, however long it runs', async (t) => {
  const history = new DashboardHistory(0)
  const points = 3_000
  for (let step = 1; step <= points; step++) {
    const at = step * HISTORY_STEP_MS
    const levels = { ...NO_LEVELS, inUse: step, firstP50Ms: step % 2 === 0 ? step : null }
    history.add({ at, shownAt: at }, totals(step * 7), levels)
  }
  const { at, columns } = history.toJson()
  t.equal(at.length, 720)
  t.equal(at.at(-1), points * HISTORY_STEP_MS)
  t.equal(at[0], (points - 719) * HISTORY_STEP_MS)
  for (const name of HISTORY_COLUMNS) t.equal(columns[name].length, 720, name)
  t.equal(columns.inUse.at(-1), points)
  t.same(columns.firstP50Ms.slice(-2), [null, points])
  t.same(new Set(columns.requestsPerMinute), new Set([84]), 'the first shown ones, too')
  t.same(new Set(columns.creditsPerHour), new Set([(7 / 4) * 720]))
  t.same(new Set(columns.budget), new Set([null]))
  t.same(history.last(), {
    at: points * HISTORY_STEP_MS,
    values: Object.fromEntries(HISTORY_COLUMNS.map((name) => [name, columns[name].at(-1)]))
  })
  const { creditsLastHour } = history.rates(points * HISTORY_STEP_MS, totals(points * 7))
  t.equal(creditsLastHour, (7 / 4) * 720)
})

t.test('counts that go back, which they must not, are no rate below zero', async (t) => {
  const history = historyOf(100, 50, 20)
  t.equal(history.rates(1_016_000, totals(0)).requestsPerMinute, 0)
  t.ok(history.toJson().columns.requestsPerMinute.every((rate) => rate !== null && rate >= 0))
})

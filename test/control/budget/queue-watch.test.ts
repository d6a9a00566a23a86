import t from 'tap'
import { type BudgetState, watchQueue } from '../../../src/control/budget/budget.ts'

t.test('tells of requests that wait, as long as some do', async (t) => {
  // The watch alone keeps no process alive.
  const alive = setTimeout(() => {}, 20_000)
  t.teardown(() => clearTimeout(alive))
  const told = Promise.withResolvers<object>()
  let waiting = 0
  let asked = 0
  const state = (): BudgetState => {
    asked += 1
    if (asked === 3) waiting = 2
    return { maxConnections: 5, unleased: 0, waiting, pace: null, members: [] }
  }
  const lines: object[] = []
  const warn = (facts: object): void => {
    lines.push(facts)
    told.resolve(facts)
  }
  let poolTimeoutMs: number | null = null
  const watch = watchQueue({
    state,
    poolTimeoutMs: () => poolTimeoutMs,
    log: { warn } as never,
    periodMs: 5
  })
  t.teardown(() => clearInterval(watch))
  t.match(await told.promise, { waiting: 2, maxConnections: 5 })
  t.ok(asked >= 3, 'silent while nobody waited')
  t.equal(lines.length, asked - 2)
  poolTimeoutMs = 30_000
  const before = lines.length
  await new Promise((resume) => setTimeout(resume, 50))
  t.equal(lines.length, before, 'a wait that PoolTimeout ends has that line alone')
})

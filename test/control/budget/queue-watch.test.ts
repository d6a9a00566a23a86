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
  const watch = watchQueue(state, { warn } as never, 5)
  t.teardown(() => clearInterval(watch))
  t.match(await told.promise, { waiting: 2, maxConnections: 5 })
  t.ok(asked >= 3, 'silent while nobody waited')
  t.equal(lines.length, asked - 2)
})

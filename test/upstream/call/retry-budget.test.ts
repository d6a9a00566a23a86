import t from 'tap'
import { RetryBudget } from '../../../src/upstream/call/retry.ts'
import * as fc from '../../helper/fast-check.ts'

function spendAll(budget: RetryBudget): number {
  let spent = 0
  while (budget.spend()) spent += 1
  return spent
}

t.test('RetryBudget', (t) => {
  t.test('starts with its minimum and then refuses', (t) => {
    const budget = new RetryBudget(20, 1, () => 0)
    t.equal(spendAll(budget), 10)
    t.notOk(budget.spend())
    t.end()
  })
  t.test('has its part of the minimum where there are several workers, and always one', (t) => {
    let now = 0
    for (const [workers, minimum] of [
      [2, 5],
      [4, 2],
      [64, 1]
    ] as const) {
      const budget = new RetryBudget(0, workers, () => now)
      t.equal(spendAll(budget), minimum)
      now += 60_000
      t.equal(spendAll(budget), minimum)
    }
    t.end()
  })
  t.test('earns a share of the requests', (t) => {
    const budget = new RetryBudget(25, 1, () => 0)
    spendAll(budget)
    for (let i = 0; i < 40; i += 1) budget.earn()
    t.equal(spendAll(budget), 10)
    t.end()
  })
  t.test('does not save up without end', (t) => {
    const budget = new RetryBudget(20, 1, () => 0)
    for (let i = 0; i < 10_000; i += 1) budget.earn()
    t.equal(spendAll(budget), 30)
    t.end()
  })
  t.test('gets its minimum back within a minute, and no more by time alone', (t) => {
    let now = 0
    const budget = new RetryBudget(0, 1, () => now)
    spendAll(budget)
    now = 6000
    t.equal(spendAll(budget), 1)
    now = 3_600_000
    t.equal(spendAll(budget), 10)
    t.end()
  })
  t.test('never grants more than it holds', (t) => {
    const step = fc.oneof(fc.constant('earn'), fc.constant('spend'), fc.nat({ max: 90_000 }))
    const holds = fc.property(fc.nat({ max: 100 }), fc.array(step), (percent, steps) => {
      let now = 0
      const budget = new RetryBudget(percent, 1, () => now)
      let inARow = 0
      for (const step of steps) {
        if (step === 'spend') inARow += budget.spend() ? 1 : 0
        else inARow = 0
        if (typeof step === 'number') now += step
        if (step === 'earn') budget.earn()
        if (inARow > 10 + percent) return false
      }
      return spendAll(budget) + inARow <= 10 + percent
    })
    t.doesNotThrow(() => fc.assert(holds))
    t.end()
  })
  t.end()
})

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
    const budget = new RetryBudget({ percent: 20, now: () => 0 })
    t.equal(budget.left, 10)
    t.equal(spendAll(budget), 10)
    t.notOk(budget.spend())
    t.end()
  })
  t.test('earns a share of the requests', (t) => {
    const budget = new RetryBudget({ percent: 25, minimum: 0, now: () => 0 })
    for (let i = 0; i < 40; i += 1) budget.earn()
    t.equal(spendAll(budget), 10)
    t.end()
  })
  t.test('does not save up without end', (t) => {
    const budget = new RetryBudget({ percent: 20, now: () => 0 })
    for (let i = 0; i < 10_000; i += 1) budget.earn()
    t.equal(spendAll(budget), 30)
    t.end()
  })
  t.test('gets its minimum back within a minute, and no more by time alone', (t) => {
    let now = 0
    const budget = new RetryBudget({ percent: 0, now: () => now })
    spendAll(budget)
    now = 6000
    t.equal(spendAll(budget), 1)
    now = 3_600_000
    t.equal(spendAll(budget), 10)
    t.end()
  })
  t.test('is never negative and never grants more than it holds', (t) => {
    const step = fc.oneof(fc.constant('earn'), fc.constant('spend'), fc.nat({ max: 90_000 }))
    const holds = fc.property(fc.nat({ max: 100 }), fc.array(step), (percent, steps) => {
      let now = 0
      const budget = new RetryBudget({ percent, now: () => now })
      for (const step of steps) {
        if (typeof step === 'number') now += step
        else if (step === 'earn') budget.earn()
        else if (budget.spend() && budget.left < 0) return false
        if (budget.left < 0 || budget.left > 10 + percent) return false
      }
      return true
    })
    t.doesNotThrow(() => fc.assert(holds))
    t.end()
  })
  t.end()
})

import t from 'tap'
import { PlanGauge } from '../../../src/control/plan/plan-gauge.ts'
import { accountUsage } from '../../helper/account-usage.ts'

const NOW = Date.parse('2026-12-15T12:00:00Z')
const RESET = Date.parse('2027-01-01T00:00:00Z')
const MINUTE_MS = 60_000
const overage = { isEnabled: true }

function usageOf(used: number, resetsAt: number | null = RESET) {
  return accountUsage({ used, resetsAt, overage })
}

t.test('PlanGauge', (t) => {
  t.test('knows nothing before the upstream has answered, and then bars nobody', async (t) => {
    const gauge = new PlanGauge()
    gauge.onMetered(5_000, NOW)
    t.equal(gauge.isBeyondPlan(NOW), false)
    t.equal(gauge.left, 1)
  })

  t.test('is beyond the plan from its last credit on, where that costs extra', async (t) => {
    const gauge = new PlanGauge()
    gauge.onUsage(usageOf(999), NOW)
    t.equal(gauge.isBeyondPlan(NOW), false)
    gauge.onMetered(0.75, NOW)
    t.equal(gauge.isBeyondPlan(NOW), false)
    gauge.onMetered(0.25, NOW)
    t.equal(gauge.isBeyondPlan(NOW), true, 'before the upstream is asked again')
    t.equal(gauge.sinceLook, 1)
    gauge.onUsage(accountUsage({ used: 1_000, resetsAt: RESET }), NOW)
    t.equal(gauge.isBeyondPlan(NOW), false, 'the upstream refuses by itself')
    gauge.onUsage(accountUsage({ used: 0, limit: 0, overage }), NOW)
    t.equal(gauge.isBeyondPlan(NOW), false, 'there is no plan')
  })

  t.test('does not believe a figure that lags, for as long as it may lag', async (t) => {
    const gauge = new PlanGauge()
    gauge.onUsage(usageOf(990), NOW)
    gauge.onMetered(10, NOW)
    gauge.onUsage(usageOf(991), NOW + MINUTE_MS)
    t.equal(gauge.used, 1_000)
    t.equal(gauge.isBeyondPlan(NOW + MINUTE_MS), true)
    gauge.onUsage(usageOf(998), NOW + 16 * MINUTE_MS)
    t.equal(gauge.used, 998, 'two of them were counted too much here')
    t.equal(gauge.isBeyondPlan(NOW + 16 * MINUTE_MS), false)
  })

  t.test(
    'counts too much by what was metered lately at most, however long it goes on',
    async (t) => {
      const gauge = new PlanGauge()
      for (let minute = 0; minute < 100; minute++) {
        const now = NOW + minute * MINUTE_MS
        gauge.onUsage(usageOf(minute), now)
        gauge.onMetered(1.5, now) // half of it is counted too much
      }
      t.ok(gauge.used <= 99 + 16 * 1.5 + 1.5, String(gauge.used))
    }
  )

  t.test('begins anew when the plan is reset', async (t) => {
    const gauge = new PlanGauge()
    gauge.onUsage(usageOf(1_000), NOW)
    gauge.onMetered(5, RESET - MINUTE_MS)
    t.equal(gauge.isBeyondPlan(RESET - 1), true)
    t.equal(gauge.isBeyondPlan(RESET), false, 'nobody knows')
    gauge.onUsage(usageOf(2, Date.parse('2027-02-01T00:00:00Z')), RESET)
    t.equal(gauge.used, 2)
    const later = new PlanGauge()
    later.onUsage(usageOf(999), NOW)
    later.onMetered(3, NOW)
    later.onUsage(usageOf(999, RESET + 250), NOW)
    t.equal(later.used, 1_002, 'the same time, told a little differently')
  })

  t.test('is not misled by a clock that is set', async (t) => {
    const gauge = new PlanGauge()
    gauge.onUsage(usageOf(990), NOW)
    gauge.onMetered(10, NOW + 86_400_000)
    gauge.onUsage(usageOf(991), NOW)
    t.equal(gauge.used, 991)
  })
  t.end()
})

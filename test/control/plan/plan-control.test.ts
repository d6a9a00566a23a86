import t from 'tap'
import type { Alert } from '../../../src/control/alerts/alert.ts'
import { PlanControl } from '../../../src/control/plan-control.ts'
import type { ToWorker, UsageNews } from '../../../src/ipc/messages.ts'
import type { AccountUsage } from '../../../src/kiro/wire/account-usage.ts'
import { accountUsage } from '../../helper/account-usage.ts'
import { tick } from '../../helper/run-simulator.ts'

const NOW = Date.parse('2026-12-15T12:00:00Z')
const RESET = Date.parse('2027-01-01T00:00:00Z')

function setUp(allowsOverage = false) {
  const settings = { allowsOverage, lastsUntil: 'reset' }
  const clock = { now: NOW }
  const told: (boolean | string)[] = []
  const alerts: string[] = []
  const logged: string[] = []
  const asked: PromiseWithResolvers<UsageNews>[] = []
  const plan = new PlanControl({
    config: () => ({ plan: settings }),
    usage: () => {
      const answer = Promise.withResolvers<UsageNews>()
      asked.push(answer)
      return answer.promise
    },
    alerts: { raise: (alert: Alert | null) => void (alert !== null && alerts.push(alert.id)) },
    log: {
      info: (_: unknown, message?: string) => void logged.push(message ?? ''),
      warn: (_: unknown, message?: string) => void logged.push(message ?? '')
    },
    tell: (message: ToWorker) => {
      if (message.type === 'plan.standing') told.push(message.bar?.code ?? false)
    },
    now: () => clock.now
  })
  t.teardown(() => plan.close())
  const answer = async (usage: AccountUsage): Promise<void> => {
    plan.onUsage(usage)
    asked.shift()?.resolve({ usage, problem: null })
    await tick()
  }
  return { plan, settings, clock, told, alerts, logged, asked, answer }
}

function usageOf(used: number, isEnabled = true) {
  return accountUsage({ used, resetsAt: RESET, overage: { isEnabled } })
}

function rowOf(credits: number, key = 'operator') {
  return { key, credits: credits * 1e6 }
}

t.test('PlanControl', (t) => {
  t.test('bars requests once the plan is used up and Kiro would go on at a price', async (t) => {
    const { plan, told, logged, answer } = setUp()
    plan.start()
    await answer(usageOf(990))
    t.same(told, [])
    plan.onRows([rowOf(9), rowOf(500, 'kiro')])
    t.same(told, [], "what clients use of their own accounts is none of the plan's")
    plan.onRows([rowOf(1)])
    t.same(told, ['GW_PLAN_LIMIT'])
    t.match(plan.bar, {
      until: RESET,
      message: /reset at 2027-01-01T00:00:00\.000Z.*ALLOW_OVERAGE/
    })
    plan.onRows([rowOf(1)])
    t.equal(told.length, 1)
    t.equal(logged.length, 1)
  })

  t.test('asks the upstream at once when the plan comes to 80 % and to its end', async (t) => {
    const { plan, asked, answer } = setUp()
    plan.start()
    t.equal(asked.length, 1)
    await answer(usageOf(790, false))
    plan.onRows([rowOf(9)])
    t.equal(asked.length, 0)
    plan.onRows([rowOf(1)])
    t.equal(asked.length, 1)
    await answer(usageOf(800, false))
    plan.onRows([rowOf(100)])
    t.equal(asked.length, 0)
    plan.onRows([rowOf(100)])
    t.equal(asked.length, 1)
  })

  t.test('does as the settings say, also when they are read again', async (t) => {
    const { plan, settings, told, answer } = setUp(true)
    plan.start()
    await answer(usageOf(1_000))
    t.same(told, [])
    settings.allowsOverage = false
    plan.reload()
    t.same(told, ['GW_PLAN_LIMIT'])
    settings.allowsOverage = true
    plan.reload()
    t.same(told, ['GW_PLAN_LIMIT', false])
  })

  t.test('lets requests go where the upstream does not say, or refuses by itself', async (t) => {
    const { plan, told, asked, answer } = setUp()
    plan.start()
    asked.shift()?.resolve({ usage: null, problem: { code: 'GW_UPSTREAM_CONNECT', message: '' } })
    await tick()
    plan.onRows([rowOf(5_000)])
    t.same(told, [])
    await answer(usageOf(5_000, false))
    t.same(told, [])
  })

  t.test('lets them go again when more credits are there, or overage was disabled', async (t) => {
    const { plan, told, answer } = setUp()
    plan.start()
    await answer(usageOf(1_000))
    await answer(accountUsage({ used: 1_000, limit: 1_500, resetsAt: RESET }))
    t.same(told, ['GW_PLAN_LIMIT', false])
    t.equal(plan.bar, null)
  })

  t.test('says what is used as soon as it is seen', async (t) => {
    const { alerts, answer } = setUp()
    await answer(usageOf(850))
    await answer(usageOf(1_000))
    t.match(alerts, [/^plan\/.*\/80$/, /^plan\/.*\/100$/])
  })
  t.end()
})

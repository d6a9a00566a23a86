import t from 'tap'
import type { Alert } from '../../../src/control/alerts/alert.ts'
import { PlanControl } from '../../../src/control/plan-control.ts'
import type { ToWorker, UsageNews } from '../../../src/ipc/messages.ts'
import type { AccountUsage } from '../../../src/kiro/wire/account-usage.ts'
import { accountUsage } from '../../helper/account-usage.ts'
import { type PlanRecord, nextPlan } from '../../../src/control/plan/plan-record.ts'
import { tick } from '../../helper/run-simulator.ts'

const NOW = Date.parse('2026-12-15T12:00:00Z')
const RESET = Date.parse('2027-01-01T00:00:00Z')

function setUp(allowsOverage = false) {
  const settings = { allowsOverage, isShown: false, lastsUntil: 'reset' }
  const standings: (number | null)[] = []
  const clock = { now: NOW }
  const told: (boolean | string)[] = []
  const alerts: string[] = []
  const texts: string[] = []
  const logged: string[] = []
  const asked: PromiseWithResolvers<UsageNews>[] = []
  const book = { booked: 0, isOpen: true, record: null as PlanRecord | null }
  const plan = new PlanControl({
    config: () => ({ plan: settings }),
    usage: () => {
      const answer = Promise.withResolvers<UsageNews>()
      asked.push(answer)
      return answer.promise
    },
    account: () => 'account',
    look: async (_, look) => {
      if (!book.isOpen) return null
      book.record = nextPlan(book.record, look, book.booked * 1e6)
      return { record: book.record, bookDays: [] }
    },
    alerts: {
      raise: (alert: Alert | null) => {
        if (alert === null) return
        alerts.push(alert.id)
        texts.push(alert.text)
      }
    },
    log: {
      info: (_: unknown, message?: string) => void logged.push(message ?? ''),
      warn: (_: unknown, message?: string) => void logged.push(message ?? '')
    },
    tell: (message: ToWorker) => {
      if (message.type === 'plan.status') told.push(message.bar?.code ?? false)
      if (message.type === 'plan.standing') standings.push(message.standing?.utilization ?? null)
    },
    now: () => clock.now
  })
  t.teardown(() => plan.close())
  const answer = async (usage: AccountUsage): Promise<void> => {
    plan.onUsage({ usage, ageMs: 0 })
    asked.shift()?.resolve({ usage, problem: null })
    await tick()
  }
  return { plan, settings, clock, told, standings, alerts, texts, logged, asked, book, answer }
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

  t.test(
    'tells workers how much of the plan is used, only where clients are to see it',
    async (t) => {
      const { plan, settings, standings, answer } = setUp()
      plan.start()
      await answer(usageOf(500, false))
      t.same(standings, [])
      settings.isShown = true
      plan.reload()
      t.same([standings, plan.standing], [[0.5], { utilization: 0.5, resetsAt: RESET }])
      plan.onRows([rowOf(1)])
      t.equal(standings.length, 1, 'nothing that could be seen')
      plan.onRows([rowOf(19)])
      settings.isShown = false
      plan.reload()
      t.same([standings, plan.standing], [[0.5, 0.52, null], null])
    }
  )

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

  t.test('asks at once with another token, and takes less for another account', async (t) => {
    const { plan, clock, told, asked, answer } = setUp()
    plan.onSignIn('first')
    plan.start()
    await answer(usageOf(990))
    plan.onRows([rowOf(60)])
    t.same(told, ['GW_PLAN_LIMIT'])
    await answer(usageOf(991)) // what it asked for at the end of the plan: it lags
    t.same(told, ['GW_PLAN_LIMIT'])
    plan.onSignIn('first')
    t.equal(asked.length, 0, 'the same token is no news')
    plan.onSignIn('renewed')
    t.equal(asked.length, 1)
    await answer(usageOf(992))
    t.same(told, ['GW_PLAN_LIMIT'], 'the same account, which still lags')
    clock.now += 1_000
    plan.onSignIn('another')
    await answer(usageOf(950))
    t.same(told, ['GW_PLAN_LIMIT', false])
    plan.onSignIn('used up')
    await answer(usageOf(1_200))
    t.same(told, ['GW_PLAN_LIMIT', false, 'GW_PLAN_LIMIT'])
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
  t.test('tells what was used elsewhere, once a day, and charges nobody', async (t) => {
    const { plan, clock, alerts, texts, logged, book, answer } = setUp()
    await answer(usageOf(100, false))
    clock.now += 60_000
    book.booked = 50
    await answer(usageOf(153.1, false))
    t.match(texts, [
      /^3\.1 credits used today did not go through this gateway, or were not metered\. L/
    ])
    t.match(plan.outlook, {
      today: { used: 53.1e6, booked: 50e6, outside: 3.1e6 },
      isDrifting: true
    })
    await answer(usageOf(170, false))
    t.equal(logged.length, 1)
    t.equal(new Set(alerts).size, 1, 'told once')
  })

  t.test('passes over little, and what it cannot compare', async (t) => {
    const { plan, clock, alerts, book, answer } = setUp()
    await answer(usageOf(100, false))
    book.booked = 60
    clock.now += 60_000
    await answer(usageOf(162.9, false)) // 2.9 of 62.9 are less than 5 %
    t.same(alerts, [])
    book.isOpen = false
    await answer(usageOf(500, false))
    t.same(alerts, [])
    t.match(plan.outlook, { today: { used: 62.9e6 } }, 'as it was known last')
  })

  t.test('compares with the sum of all gateways of a fleet, once that is known', async (t) => {
    const { plan, clock, told, book, answer } = setUp()
    const recorded: number[] = []
    plan.share(() => recorded.push(plan.recorded))
    await answer(usageOf(100))
    t.equal(plan.outlook, null, 'nobody knows what the others have recorded')
    plan.setOthers({ b: { sum: 500e6, from: 0 } })
    await answer(usageOf(100))
    t.match(plan.outlook, { today: { used: 0 } })
    plan.onRows([rowOf(2)])
    book.booked = 2
    plan.setOthers({ b: { sum: 520e6, from: 0 } })
    clock.now += 60_000
    await answer(usageOf(123))
    t.match(plan.outlook, { today: { used: 23e6, booked: 22e6, outside: 1e6 } })
    plan.onUsage({ usage: usageOf(400), ageMs: 0, isAlone: true })
    t.match(plan.outlook, { today: { used: 23e6 } }, 'the others cannot be reached')
    t.same(recorded, [2e6])
    plan.setOthers({ b: { sum: 1_120e6, from: 0 }, c: { sum: 9_000e6, from: 0 } })
    t.same(told, ['GW_PLAN_LIMIT'], 'what others were metered with counts, too')
  })

  t.test('tells a worker once the look is compared', async (t) => {
    const { plan, asked } = setUp()
    const told = plan.usage()
    plan.onUsage({ usage: usageOf(100, false), ageMs: 0 })
    asked.shift()?.resolve({ usage: usageOf(100, false), problem: null })
    t.match(await told, { outlook: { since: { at: NOW, used: 0 } } })
  })
  t.end()
})

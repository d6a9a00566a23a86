import t from 'tap'
import { creditsCounted, parseAccountUsage } from '../../../src/kiro/wire/account-usage.ts'

const breakdown = {
  resourceType: 'CREDIT',
  displayName: 'Credits',
  currentUsage: 42,
  currentUsageWithPrecision: 42.5,
  usageLimit: 1000,
  unit: 'CREDITS',
  currency: 'USD',
  currentOverages: 3,
  overageCap: 200,
  overageCapWithPrecision: 200.5,
  overageRate: 0.04,
  overageCharges: 0.12
}

t.test('parseAccountUsage()', (t) => {
  t.test('reads what kiro-protocol §9.8 names', async (t) => {
    const usage = parseAccountUsage({
      nextDateReset: 1_790_000_000.5,
      usageBreakdownList: [
        {
          ...breakdown,
          freeTrialInfo: {
            freeTrialStatus: 'ACTIVE',
            currentUsageWithPrecision: 10,
            usageLimitWithPrecision: 500
          },
          bonuses: [
            { displayName: 'Welcome', status: 'ACTIVE', currentUsage: 1, usageLimit: 50 },
            { displayName: 'Old', status: 'EXPIRED', currentUsage: 9, usageLimit: 9 }
          ]
        }
      ],
      subscriptionInfo: { subscriptionTitle: 'KIRO PRO' },
      overageConfiguration: { overageStatus: 'ENABLED' },
      userInfo: { userId: 'd-1', email: 'someone@example.com' }
    })
    t.same(usage, {
      plan: 'KIRO PRO',
      resetsAt: 1_790_000_000_500,
      allowances: [
        { kind: 'plan', name: 'Credits', unit: 'credits', used: 42.5, limit: 1000 },
        { kind: 'free_trial', name: 'CREDIT', unit: 'credits', used: 10, limit: 500 },
        { kind: 'bonus', name: 'Welcome', unit: 'credits', used: 1, limit: 50 }
      ],
      overage: {
        isEnabled: true,
        used: 3,
        charges: 0.12,
        currency: 'USD',
        rate: 0.04,
        cap: 200.5
      }
    })
  })
  t.test('leaves out a trial that is over, and knows the older name of the list', async (t) => {
    const expired = { ...breakdown, freeTrialInfo: { freeTrialStatus: 'EXPIRED', usageLimit: 5 } }
    const { allowances } = parseAccountUsage({ usageBreakdown: [expired] })
    t.same(
      allowances.map(({ kind }) => kind),
      ['plan']
    )
  })
  t.test('takes so much and no more of a list that would repeat a long name', async (t) => {
    const bonuses = Array.from({ length: 5000 }, () => ({ status: 'ACTIVE' }))
    const long = 'x'.repeat(100_000)
    const one = { resourceType: long, displayName: long, unit: long, currency: long, bonuses }
    const usage = parseAccountUsage({
      usageBreakdownList: [one, one],
      subscriptionInfo: { subscriptionTitle: long }
    })
    t.equal(usage.allowances.length, 100)
    t.ok(JSON.stringify(usage).length < 100_000)
  })
  for (const answer of [
    {},
    { usageBreakdownList: null, nextDateReset: 'soon', subscriptionInfo: [], userInfo: 7 },
    { usageBreakdownList: 'none', nextDateReset: 1e300, overageConfiguration: null },
    { nextDateReset: -1 }
  ]) {
    t.test(`makes nothing up from ${JSON.stringify(answer)}`, async (t) => {
      t.same(parseAccountUsage(answer), {
        plan: null,
        resetsAt: null,
        allowances: [],
        overage: { isEnabled: false, used: 0, charges: 0, currency: null, rate: null, cap: null }
      })
    })
  }
  t.test('takes no amount that is none', async (t) => {
    const odd = { currentUsage: 'many', usageLimit: null, bonuses: [null, 'x'], unit: 7 }
    t.same(parseAccountUsage({ usageBreakdownList: [odd, null, []] }).allowances, [
      { kind: 'plan', name: 'unknown', unit: 'unknown', used: 0, limit: 0 }
    ])
  })
  t.test('adds up to a number, whatever the upstream counts', async (t) => {
    const vast = {
      currentUsage: 1e308,
      usageLimit: -5,
      currentOverages: 1e308,
      overageCharges: 1e308
    }
    const { allowances, overage } = parseAccountUsage({ usageBreakdownList: [vast, vast] })
    t.match(allowances, [{ used: 1e12, limit: 0 }, {}])
    t.match(overage, { used: 2e12, charges: 2e12 })
  })
  t.end()
})

t.test('creditsCounted() counts overages once, wherever the upstream counts them', async (t) => {
  const usage = parseAccountUsage({ usageBreakdownList: [{ ...breakdown, currentOverages: 0 }] })
  t.equal(creditsCounted(usage), 42.5)
  const [plan] = usage.allowances
  if (plan === undefined) throw new Error('there is no plan')
  const beyond = { ...usage, overage: { ...usage.overage, used: 50 } }
  t.equal(creditsCounted({ ...beyond, allowances: [{ ...plan, used: 1_000 }] }), 1_050, 'beside')
  t.equal(creditsCounted({ ...beyond, allowances: [{ ...plan, used: 1_050 }] }), 1_050, 'among')
  const calls = { ...plan, unit: 'invocations' }
  t.equal(creditsCounted({ ...usage, allowances: [calls] }), null)
  t.equal(creditsCounted({ ...usage, allowances: [plan, calls] }), null)
  t.equal(creditsCounted({ ...usage, allowances: [] }), null)
})

import t from 'tap'
import { type AccountStatus, type FromWorker, GOOD_STATUS } from '../../../src/ipc/messages.ts'
import { faultOfResponse, toGatewayError } from '../../../src/kiro/wire/fault.ts'
import { AccountClient } from '../../../src/server/primary/account-access.ts'
import type { GatewayError } from '../../../src/shared/errors.ts'

const NOW = Date.parse('2026-11-30T23:55:00Z')
const MINUTE_MS = 60_000

function setUp() {
  const clock = { now: NOW }
  const sent: FromWorker[] = []
  const refused: GatewayError[] = []
  const told: ((key: string) => boolean)[] = []
  const mayOverage = new Set<string>()
  const client = new AccountClient({
    channel: { send: (message) => void sent.push(message) },
    status: GOOD_STATUS,
    pause: () => {},
    refuseWaiting: (error, isMeant) => {
      refused.push(error)
      told.push(isMeant)
    },
    overageKeys: () => mayOverage,
    now: () => clock.now
  })
  const hear = (reason: string) => {
    const body = JSON.stringify({ message: 'You have reached the limit.', reason })
    const fault = faultOfResponse({ status: 402, headers: {}, body, now: clock.now })
    return client.heed(toGatewayError(fault), fault)
  }
  return { client, clock, sent, refused, told, mayOverage, hear }
}

const untilReset: AccountStatus = {
  ...GOOD_STATUS,
  bars: [{ bar: 'monthly', code: 'GW_UPSTREAM_QUOTA', until: NOW + 5 * MINUTE_MS }]
}

t.test('a refusal bars the account at once, until the primary knows better', async (t) => {
  const { client, clock, sent, refused, hear } = setUp()
  t.match(hear('MONTHLY_REQUEST_COUNT'), { message: /reached the limit/, retryAfterS: 3600 })
  t.match(sent, [{ type: 'account.refused', refusal: { bar: 'monthly' } }])
  t.match(refused, [{ code: 'GW_UPSTREAM_QUOTA' }], 'whoever waits is told')
  t.match(client.problem, {
    retryAfterS: 3600,
    message: /^The quota of the upstream account is used up/
  })
  client.onStatus(untilReset)
  t.match(client.problem, { retryAfterS: 300 })
  clock.now += 5 * MINUTE_MS
  t.equal(client.problem, null)
})

t.test('calls that were under way do not bar it for longer than is known', async (t) => {
  const { client, clock, sent, hear } = setUp()
  client.onStatus(untilReset)
  hear('MONTHLY_REQUEST_COUNT')
  t.same(sent, [], 'nor are they news')
  clock.now += 5 * MINUTE_MS
  t.equal(client.problem, null, 'the quota was reset')
  hear('MONTHLY_REQUEST_COUNT')
  t.equal(sent.length, 1, 'it is used up again')
  t.match(client.problem, { code: 'GW_UPSTREAM_QUOTA' })
})

t.test('a plan that would cost extra bars all keys but those that may', async (t) => {
  const { client, clock, refused, told, mayOverage } = setUp()
  const bar = { code: 'GW_PLAN_LIMIT', message: 'Used up.', until: NOW + MINUTE_MS } as const
  mayOverage.add('anna')
  client.onPlan(bar)
  t.match(refused, [{ code: 'GW_PLAN_LIMIT', message: 'Used up.' }])
  t.same(
    ['anna', 'ben'].map((key) => told[0]?.(key)),
    [false, true],
    'those who wait, too'
  )
  t.equal(client.problem, null, 'the account is well')
  t.equal(client.problemOf('anna'), null)
  t.match(client.problemOf('ben'), { code: 'GW_PLAN_LIMIT', details: { failure: 'quota-used-up' } })
  t.throws(() => client.check('ben'), { code: 'GW_PLAN_LIMIT' })
  t.ok(client.hasOverageKeys)

  mayOverage.clear()
  client.refuseOthers()
  t.equal(refused.length, 2, 'a key has lost the right while its request waits')
  t.equal(told[1]?.('anna'), true)
  t.match(client.problemOf('anna'), { code: 'GW_PLAN_LIMIT' })

  client.onStatus(untilReset)
  t.match(client.problemOf('anna'), { code: 'GW_UPSTREAM_QUOTA' }, "the upstream's own word first")
  client.onStatus(GOOD_STATUS)
  clock.now += MINUTE_MS
  t.equal(client.problemOf('ben'), null, 'the plan is reset')
  clock.now -= MINUTE_MS
  client.onPlan({ ...bar, until: null })
  clock.now += 400 * 86_400_000
  t.match(client.problemOf('ben'), { code: 'GW_PLAN_LIMIT' }, 'nobody knows when it is reset')
  client.onPlan(null)
  t.equal(client.problemOf('ben'), null)
})

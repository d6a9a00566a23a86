import t from 'tap'
import { type AccountStanding, type FromWorker, GOOD_STANDING } from '../../../src/ipc/messages.ts'
import { faultOfResponse, toGatewayError } from '../../../src/kiro/wire/fault.ts'
import { AccountLink } from '../../../src/server/plane/primary-links.ts'
import type { GatewayError } from '../../../src/shared/errors.ts'

const NOW = Date.parse('2026-11-30T23:55:00Z')
const MINUTE_MS = 60_000

function setUp() {
  const clock = { now: NOW }
  const sent: FromWorker[] = []
  const refused: GatewayError[] = []
  const link = new AccountLink({
    channel: { send: (message) => void sent.push(message) },
    standing: GOOD_STANDING,
    pause: () => {},
    refuseWaiting: (error) => void refused.push(error),
    now: () => clock.now
  })
  const hear = (reason: string) => {
    const body = JSON.stringify({ message: 'You have reached the limit.', reason })
    const fault = faultOfResponse({ status: 402, headers: {}, body, now: clock.now })
    return link.heed(toGatewayError(fault), fault)
  }
  return { link, clock, sent, refused, hear }
}

const untilReset: AccountStanding = {
  ...GOOD_STANDING,
  bars: [{ bar: 'monthly', code: 'GW_UPSTREAM_QUOTA', until: NOW + 5 * MINUTE_MS }]
}

t.test('a refusal bars the account at once, until the primary knows better', async (t) => {
  const { link, clock, sent, refused, hear } = setUp()
  t.match(hear('MONTHLY_REQUEST_COUNT'), { message: /reached the limit/, retryAfterS: 3600 })
  t.match(sent, [{ type: 'account.refused', refusal: { bar: 'monthly' } }])
  t.match(refused, [{ code: 'GW_UPSTREAM_QUOTA' }], 'whoever waits is told')
  t.match(link.problem, {
    retryAfterS: 3600,
    message: /^The quota of the upstream account is used up/
  })
  link.onStanding(untilReset)
  t.match(link.problem, { retryAfterS: 300 })
  clock.now += 5 * MINUTE_MS
  t.equal(link.problem, null)
})

t.test('calls that were under way do not bar it for longer than is known', async (t) => {
  const { link, clock, sent, hear } = setUp()
  link.onStanding(untilReset)
  hear('MONTHLY_REQUEST_COUNT')
  t.same(sent, [], 'nor are they news')
  clock.now += 5 * MINUTE_MS
  t.equal(link.problem, null, 'the quota was reset')
  hear('MONTHLY_REQUEST_COUNT')
  t.equal(sent.length, 1, 'it is used up again')
  t.match(link.problem, { code: 'GW_UPSTREAM_QUOTA' })
})

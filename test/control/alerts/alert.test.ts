import t from 'tap'
import {
  driftAlert,
  endingAlert,
  forecastAlert,
  keyAlert,
  planAlert,
  signInAlert
} from '../../../src/control/alerts/alert.ts'
import { nextPlan, type PlanLook } from '../../../src/control/plan/plan-record.ts'
import type { CredentialNews } from '../../../src/ipc/messages.ts'
import type { ErrorCode } from '../../../src/shared/errors.ts'
import { credentialSnapshot } from '../../helper/credential-snapshot.ts'

const anna = { id: 'k_1', name: 'anna' }

function credits(used: number, limit = 10_000_000) {
  return { limit, used, reserved: 0, period: 'month' as const, endsAt: Date.parse('2026-10-01') }
}

function planUsage(used: number) {
  return {
    plan: 'PRO',
    resetsAt: Date.parse('2026-10-01'),
    allowances: [
      { kind: 'plan' as const, name: 'Credits', unit: 'credits', used, limit: 900 },
      { kind: 'bonus' as const, name: 'Bonus', unit: 'credits', used: 0, limit: 100 }
    ],
    overage: { isEnabled: false, used: 0, charges: 0, currency: null, rate: null, cap: null }
  }
}

function news(code: ErrorCode, isFailing = false): CredentialNews {
  const problem = { code, message: 'why' }
  return { snapshot: null, problem, retryAt: 5, ...(isFailing && { isFailing }) }
}

t.test('keyAlert()', async (t) => {
  t.equal(keyAlert(anna, credits(7_999_999)), null)
  const at80 = keyAlert(anna, credits(8_000_000))
  t.match(at80, {
    type: 'key-limit',
    text: 'The key "anna" has used 80 % of its limit: 8 of 10 credits of the month. The limit resets at 2026-10-01T00:00:00.000Z.',
    facts: { key: 'anna', percent: 80, used: 8, limit: 10 }
  })
  t.equal(keyAlert(anna, credits(9_999_999))?.id, at80?.id, 'one thing')
  const at100 = keyAlert(anna, credits(10_000_000))
  t.match(at100, { facts: { percent: 100 }, text: /has used up its limit/ })
  t.not(at100?.id, at80?.id)
  const refused = keyAlert(anna, credits(9_500_000), true)
  t.match(refused, {
    text: /has too few credits left for a request, which was refused: 9.5 of 10 credits/,
    facts: { percent: 95 }
  })
  t.not(refused?.id, at100?.id)
  t.not(keyAlert(anna, credits(16_000_000, 20_000_000))?.id, at80?.id, 'of another limit')
})

t.test('planAlert()', async (t) => {
  t.equal(planAlert(planUsage(799)), null)
  t.match(planAlert(planUsage(800)), { type: 'plan-limit', facts: { percent: 80 } })
  t.match(planAlert(planUsage(1_000)), { text: /is used up: 1000 of 1000 credits/ })
  t.equal(planAlert({ ...planUsage(0), allowances: [] }), null, 'an account without limits')
})

t.test('forecastAlert()', async (t) => {
  const now = Date.parse('2026-12-01T12:00:00Z')
  const record = { resetsAt: Date.parse('2027-01-01') }
  const alertOf = (usedUpAt: string | null, lastsUntil = 'reset') =>
    forecastAlert(
      { perDay: 12_345_678, usedUpAt: usedUpAt === null ? null : Date.parse(usedUpAt) },
      { record, lastsUntil, now }
    )
  t.match(alertOf('2026-12-21T10:00Z'), {
    type: 'plan-forecast',
    text: 'The plan of the Kiro account will be used up on 2026-12-21, before it is reset on 2027-01-01: the last weeks took 12.35 credits a day.',
    facts: { used_up_at: '2026-12-21T10:00:00.000Z', per_day: 12.35 }
  })
  t.equal(alertOf('2026-12-21')?.id, alertOf('2026-12-22')?.id, 'one thing in a period')
  t.equal(alertOf(null), null)
  t.equal(alertOf('2026-12-21', 'none'), null)
  t.match(alertOf('2026-12-21T10:00Z', '2026-12-21'), {
    text: /on 2026-12-21, and should last until 2026-12-21: /
  })
  t.equal(alertOf('2026-12-22T00:00Z', '2026-12-21'), null, 'it lasts until that day has ended')
  t.equal(alertOf('2026-12-21', '2026-11-30'), null, 'that day is over')
  const unknown = { record: { resetsAt: null }, lastsUntil: 'reset', now }
  t.equal(forecastAlert({ perDay: 1, usedUpAt: now + 5 }, unknown), null)
})

t.test('driftAlert()', async (t) => {
  const now = Date.parse('2026-12-15T12:00:00Z')
  const look: PlanLook = {
    at: now,
    plan: 'PRO',
    used: 0,
    limit: 1e9,
    resetsAt: null,
    others: {}
  }
  const later = { ...look, at: now + 1, used: 63_100_000 }
  const record = nextPlan(nextPlan(null, look, 0), later, 50_000_000)
  t.match(driftAlert(record, now), {
    type: 'plan-drift',
    text: /^13\.1 credits used today did not go through this gateway, or were not metered\. Likely causes: /,
    facts: { day: '2026-12-15', outside: 13.1, account: 63.1, gateway: 50 }
  })
  t.equal(driftAlert(record, now + 86_400_000), null, 'another day')
})

t.test('endingAlert()', async (t) => {
  const now = Date.parse('2026-09-01')
  const DAY_MS = 86_400_000
  for (const endsAt of [null, now - 1, now, now + 8 * DAY_MS])
    t.equal(endingAlert(endsAt, now), null)
  const alert = endingAlert(now + 7 * DAY_MS, now)
  t.match(alert, { type: 'sign-in-ending', text: /ends on 2026-09-08T/ })
  t.equal(endingAlert(now + 7 * DAY_MS, now + DAY_MS)?.id, alert?.id, 'one thing')
})

t.test('signInAlert()', async (t) => {
  t.equal(signInAlert({ snapshot: credentialSnapshot(), problem: null }), null)
  t.equal(signInAlert(news('GW_LOGIN_PENDING')), null)
  t.equal(signInAlert(news('GW_KEY_INVALID')), null)
  t.equal(signInAlert(news('GW_NOT_READY')), null)
  t.match(signInAlert(news('GW_NOT_READY', true)), {
    type: 'sign-in-failing'
  })
  t.match(signInAlert(news('GW_UPSTREAM_AUTH')), {
    type: 'sign-in-dead',
    text: /signed in again\. why/
  })
  t.match(signInAlert(news('GW_UPSTREAM_SUSPENDED')), { type: 'account-suspended' })
})

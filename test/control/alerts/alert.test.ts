import t from 'tap'
import { endingAlert, keyAlert, planAlert, signInAlert } from '../../../src/control/alerts/alert.ts'
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
    text: 'The key "anna" has used 80 % of its limit: 8 of 10 credits of the month. The limit starts anew at 2026-10-01T00:00:00.000Z.',
    facts: { key: 'anna', percent: 80, used: 8, limit: 10 }
  })
  t.equal(keyAlert(anna, credits(9_999_999))?.id, at80?.id, 'one thing')
  const at100 = keyAlert(anna, credits(10_000_000))
  t.match(at100, { facts: { percent: 100 }, text: /has used up its limit/ })
  t.not(at100?.id, at80?.id)
  const refused = keyAlert(anna, credits(9_500_000), true)
  t.match(refused, {
    text: /has too little left for a request, which was refused: 9.5 of 10 credits/,
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

t.test('endingAlert()', async (t) => {
  const now = Date.parse('2026-09-01')
  const DAY_MS = 86_400_000
  for (const endsAt of [null, now - 1, now, now + 8 * DAY_MS])
    t.equal(endingAlert(endsAt, now), null)
  const alert = endingAlert(now + 7 * DAY_MS, now)
  t.match(alert, { type: 'sign-in-ending', text: /ends at 2026-09-08T/ })
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
    text: /signed in again: why/
  })
  t.match(signInAlert(news('GW_UPSTREAM_SUSPENDED')), { type: 'account-suspended' })
})

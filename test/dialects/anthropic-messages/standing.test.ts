import t from 'tap'
import {
  shownUtilization,
  toLimitMessage,
  toStandingHeaders
} from '../../../src/dialects/anthropic-messages/standing.ts'
import { toErrorReply } from '../../../src/dialects/dialect.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import type { ReachedLimit } from '../../../src/shared/standing.ts'

const RESET = Date.parse('2026-12-02T00:00:00Z')
const unified = (name: string): string => `anthropic-ratelimit-unified-${name}`

t.test('toStandingHeaders()', async (t) => {
  t.test('tells a part below every threshold, and when it resets', async (t) => {
    t.same(toStandingHeaders({ utilization: 0.5049, resetsAt: RESET + 999 }), {
      [unified('status')]: 'allowed',
      [unified('representative-claim')]: 'overage',
      [unified('overage-status')]: 'allowed',
      [unified('overage-utilization')]: '0.5',
      [unified('reset')]: '1796169600',
      [unified('overage-reset')]: '1796169600'
    })
  })

  t.test('names a threshold strictly above it, however the part is rounded', async (t) => {
    const found = [0.75, 0.7501, 0.82, 0.95, 0.9501, 1.7].map((utilization) => {
      const headers = toStandingHeaders({ utilization, resetsAt: RESET })
      return ['status', 'overage-utilization', 'overage-surpassed-threshold'].map(
        (name) => headers[unified(name)]
      )
    })
    t.same(found, [
      ['allowed', '0.75', undefined],
      ['allowed_warning', '0.75', '0.75'],
      ['allowed_warning', '0.82', '0.75'],
      ['allowed_warning', '0.95', '0.75'],
      ['allowed_warning', '0.95', '0.95'],
      ['allowed_warning', '0.99', '0.95']
    ])
  })

  t.test('tells no reset of a limit that has none', async (t) => {
    t.notMatch(
      Object.keys(toStandingHeaders({ utilization: 0.8, resetsAt: null })).join(' '),
      'reset'
    )
  })

  t.test('never says that all is used while requests are allowed', async (t) => {
    t.same(
      [0, 0.004, 0.005, 0.994, 0.996, 1, 3].map((utilization) => shownUtilization({ utilization })),
      [0, 0, 0.01, 0.99, 0.99, 0.99, 0.99]
    )
  })
})

const REACHED: ReachedLimit = { key: 'anna', limit: 5, period: 'day', left: 0, resetsAt: RESET }

function refusal(reached: Partial<ReachedLimit>) {
  return new GatewayError('GW_KEY_LIMIT', undefined, {
    message: 'for other APIs',
    reached: { ...REACHED, ...reached }
  })
}

t.test('a limit that is reached', async (t) => {
  t.test('has the shape of the contract, without a claim or an overage status', async (t) => {
    const { status, headers, body } = toErrorReply('anthropic-messages', refusal({}), '')
    t.equal(status, 429)
    t.same(headers, {
      'content-type': 'application/json; charset=utf-8',
      'x-kiro-gateway-code': 'GW_KEY_LIMIT',
      [unified('status')]: 'rejected',
      [unified('overage-utilization')]: '1',
      [unified('overage-surpassed-threshold')]: '1',
      [unified('overage-period')]: 'daily',
      [unified('overage-disabled-reason')]: 'org_spend_cap_reached',
      [unified('reset')]: '1796169600',
      [unified('overage-reset')]: '1796169600',
      'x-should-retry': 'false'
    })
    t.same(JSON.parse(body), {
      type: 'error',
      error: {
        type: 'billing_error',
        message:
          'The 5 credits a day for "anna" are used up · the limit resets Dec 2, 00:00 UTC · ask the operator of this gateway for more credits'
      }
    })
  })

  t.test('is worded for every period, and for a rest that is too small', async (t) => {
    t.equal(
      toLimitMessage({ ...REACHED, period: 'total', left: 0.25, resetsAt: null }),
      'The 0.25 credits left of the 5 credits in all for "anna" may not suffice for this request · the limit does not reset · ask the operator of this gateway for more credits'
    )
    const periods = (['week', 'month', 'total'] as const).map(
      (period) =>
        toErrorReply('anthropic-messages', refusal({ period }), '').headers[
          unified('overage-period')
        ]
    )
    t.same(periods, ['weekly', 'monthly', undefined])
  })

  t.test('shows a rest in two decimals, unless it is smaller', async (t) => {
    for (const [left, shown] of [
      [0.592354, '0.59'],
      [0.004321, '0.004321'],
      [12, '12']
    ] as const)
      t.match(toLimitMessage({ ...REACHED, left }), `The ${shown} credits left`)
  })

  t.test('is for other APIs what it was', async (t) => {
    for (const dialect of ['openai-chat', 'openai-responses'] as const) {
      const { headers, body } = toErrorReply(dialect, refusal({}), '')
      t.notMatch(Object.keys(headers).join(' '), 'anthropic')
      t.match(body, 'for other APIs')
    }
  })
})

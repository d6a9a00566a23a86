import t from 'tap'
import type { Remedy } from '../../../src/kiro/wire/fault-table.ts'
import { type ErrorCode, GatewayError } from '../../../src/shared/errors.ts'
import {
  type Approach,
  formSignOf,
  nextApproach,
  PLAIN_APPROACH
} from '../../../src/upstream/call/retry.ts'

const means = { hosts: 2, hasProfile: false, hasOtherForm: false }

function next(
  remedy: Remedy | null,
  approach: Partial<Approach> = {},
  changes: Partial<typeof means> = {}
) {
  const error = new GatewayError('GW_UPSTREAM_REFUSED')
  return nextApproach(
    { ...PLAIN_APPROACH, ...approach },
    { error, remedy },
    { ...means, ...changes }
  )
}

function nextAfter(code: ErrorCode, approach: Partial<Approach> = {}) {
  const failure = { error: new GatewayError(code), remedy: null }
  return nextApproach({ ...PLAIN_APPROACH, ...approach }, failure, means)
}

function sign(status: number, reason: string | null = null, type = ''): string | null {
  return formSignOf({ status, reason, type })
}

t.test('formSignOf() knows three signs of the wrong form, and nothing else', async (t) => {
  t.equal(sign(400, 'REQUEST_BODY_INVALID', 'ValidationException'), 'body')
  t.equal(sign(404), 'operation')
  t.equal(sign(400, null, 'com.amazon#UnknownOperationException'), 'operation')
  for (const status of [400, 402, 403, 429, 500, 503]) t.equal(sign(status), null, `${status}`)
  t.equal(sign(403, 'REQUEST_BODY_INVALID'), null)
  t.equal(sign(500, null, 'UnknownOperationException'), null)
})

t.test('nextApproach()', (t) => {
  t.test('takes the other form once, before anything else', async (t) => {
    const other = next('next-host', {}, { hasOtherForm: true })
    t.same(other, { ...PLAIN_APPROACH, isOtherForm: true })
    t.same(next('next-host', { isOtherForm: true }, { hasOtherForm: true }), {
      ...PLAIN_APPROACH,
      isOtherForm: true,
      hostIndex: 1
    })
    t.equal(next('none', { isOtherForm: true }, { hasOtherForm: true }), null)
  })

  t.test('makes each change once', async (t) => {
    for (const [remedy, change] of [
      ['refresh-token', { hasRenewedToken: true }],
      ['drop-profile', { isWithoutProfile: true }],
      ['new-conversation', { isNewConversation: true }],
      ['next-host', { hostIndex: 1 }],
      ['add-profile', { hostIndex: 1 }]
    ] as const) {
      t.same(next(remedy), { ...PLAIN_APPROACH, ...change }, remedy)
      t.equal(next(remedy, change), null, `${remedy} again`)
    }
  })

  t.test('keeps the changes that were made before', async (t) => {
    const changed = { ...PLAIN_APPROACH, isWithoutProfile: true, hasRenewedToken: true }
    t.same(next('next-host', changed), { ...changed, hostIndex: 1 })
    t.same(next('new-conversation', changed), { ...changed, isNewConversation: true })
  })

  t.test('ends whatever the upstream says', async (t) => {
    const remedies: readonly (Remedy | null)[] = [
      ...(['none', 'back-off', 'retry-once', 'retry-model', 'refresh-token'] as const),
      ...(['add-profile', 'drop-profile', 'new-conversation', 'next-host', null] as const)
    ]
    for (let turn = 0; turn < remedies.length; turn++) {
      const order = [...remedies.slice(turn), ...remedies.slice(0, turn)]
      let approach = PLAIN_APPROACH
      let changes = 0
      for (;;) {
        const failed = approach
        const other = order.map((remedy) => next(remedy, failed)).find((one) => one !== null)
        if (other === undefined || changes > 10) break
        approach = other
        changes += 1
      }
      t.equal(changes, 4, `four changes in all, in whatever order (${turn})`)
    }
  })

  t.test('stays at the last host', async (t) => {
    t.equal(next('next-host', {}, { hosts: 1 }), null)
    t.equal(next('add-profile', {}, { hosts: 1 }), null)
  })

  t.test('does not look for another host if the account has a profile', async (t) => {
    t.equal(next('add-profile', {}, { hasProfile: true }), null)
  })

  t.test('goes to the next host if one was never reached, and only then', async (t) => {
    for (const code of [
      'GW_UPSTREAM_DNS',
      'GW_UPSTREAM_CONNECT',
      'GW_UPSTREAM_CONNECT_TIMEOUT',
      'GW_UPSTREAM_TLS'
    ] as const) {
      t.same(nextAfter(code), { ...PLAIN_APPROACH, hostIndex: 1 }, code)
      t.equal(nextAfter(code, { hostIndex: 1 }), null)
    }
    for (const code of [
      'GW_UPSTREAM_RESET',
      'GW_UPSTREAM_HEADERS_TIMEOUT',
      'GW_CLIENT_CLOSED',
      'GW_FRAME_CORRUPT'
    ] as const) {
      t.equal(nextAfter(code), null, code)
    }
  })

  t.test('leaves the same request to the retry policy', async (t) => {
    for (const remedy of ['none', 'back-off', 'retry-once', 'retry-model'] as const) {
      t.equal(next(remedy), null, remedy)
    }
  })
  t.end()
})

import t from 'tap'
import {
  decideRetry,
  type RetryCause,
  type RetryLimits,
  type RetrySituation
} from '../../../src/upstream/call/retry.ts'

const limits: RetryLimits = { maxAttempts: 3, firstTokenMaxRetries: 2, hasBudget: true, random: 0 }
const situation: RetrySituation = { attempt: 1, isModelListed: true }
const throttled: RetryCause = { code: 'GW_UPSTREAM_RATE_LIMITED', remedy: 'back-off' }

/** The delays of all retries that the policy grants. */
function delays(cause: RetryCause, changes: Partial<RetrySituation & RetryLimits> = {}): number[] {
  const found: number[] = []
  for (let attempt = 1; attempt < 20; attempt += 1) {
    const delayMs = decideRetry(
      cause,
      { ...situation, ...changes, attempt },
      { ...limits, ...changes }
    )
    if (delayMs === null) return found
    found.push(delayMs)
  }
  throw new Error('retries without end')
}

t.test('decideRetry()', (t) => {
  t.test('makes three attempts in all, after 1 s and 2 s', (t) => {
    for (const cause of [
      throttled,
      { code: 'GW_UPSTREAM_RESET' },
      { code: 'GW_UPSTREAM_DNS' },
      { code: 'GW_UPSTREAM_CONNECT' },
      { code: 'GW_UPSTREAM_CONNECT_TIMEOUT' },
      { code: 'GW_UPSTREAM_OVERLOADED', remedy: 'back-off' },
      { code: 'GW_UPSTREAM_STATUS', remedy: 'back-off' }
    ] as const) {
      t.same(delays(cause), [1000, 2000], cause.code)
    }
    t.same(delays(throttled, { maxAttempts: 4 }), [1000, 2000, 4000])
    t.same(delays(throttled, { maxAttempts: 1 }), [])
    t.end()
  })
  t.test('adds up to a quarter of jitter', (t) => {
    t.same(delays(throttled, { random: 0.5 }), [1125, 2250])
    t.end()
  })
  t.test('waits as long as the upstream asks, up to a minute', (t) => {
    t.same(delays({ ...throttled, retryAfterS: 30 }), [30_000, 30_000])
    t.same(delays({ ...throttled, retryAfterS: 2 }), [2000, 2000])
    t.same(delays({ ...throttled, retryAfterS: 3600 }), [])
    t.same(delays({ ...throttled, retryAfterS: 60 }), [60_000, 60_000])
    t.same(delays({ ...throttled, retryAfterS: null }), [1000, 2000])
    t.same(delays(throttled, { maxAttempts: 9 }).slice(-2), [60_000, 60_000])
    t.end()
  })
  t.test('never retries quota, suspension, refusals, or with a request that has to change', (t) => {
    for (const cause of [
      { code: 'GW_UPSTREAM_QUOTA', remedy: 'none' },
      { code: 'GW_UPSTREAM_SUSPENDED', remedy: 'none' },
      { code: 'GW_UPSTREAM_RESTRICTED', remedy: 'none' },
      { code: 'GW_CLIENT_NOT_ADMITTED', remedy: 'none' },
      { code: 'GW_UPSTREAM_REFUSED', remedy: 'none' },
      { code: 'GW_UPSTREAM_REFUSED', remedy: 'add-profile' },
      { code: 'GW_UPSTREAM_AUTH', remedy: 'refresh-token' },
      { code: 'GW_UPSTREAM_STATUS', remedy: 'next-host' },
      { code: 'GW_UPSTREAM_STATUS', remedy: 'none' },
      { code: 'GW_UPSTREAM_RATE_LIMITED', remedy: 'none' },
      { code: 'GW_CONTEXT_OVERFLOW', remedy: 'none' },
      { code: 'GW_UPSTREAM_TLS' },
      { code: 'GW_UPSTREAM_IDLE_TIMEOUT' },
      { code: 'GW_CLIENT_CLOSED' }
    ] as const) {
      t.same(delays(cause), [], JSON.stringify(cause))
    }
    t.end()
  })
  t.test('tries a model twice more if the live list has it', (t) => {
    const cause: RetryCause = { code: 'GW_MODEL_UNKNOWN', remedy: 'retry-model' }
    t.same(delays(cause), [500, 1000])
    t.same(delays(cause, { isModelListed: false }), [])
    t.same(delays({ code: 'GW_MODEL_UNKNOWN' }), [], 'our own 404 is final')
    t.end()
  })
  t.test('tries a transient validation error once more', (t) => {
    t.same(delays({ code: 'GW_UPSTREAM_STATUS', remedy: 'retry-once' }), [1000])
    t.end()
  })
  t.test('waits once for a user’s own rate, and not for long', (t) => {
    const cause: RetryCause = { code: 'GW_UPSTREAM_RATE_LIMITED', remedy: 'wait-once' }
    t.same(delays(cause), [10_000])
    t.same(delays({ ...cause, retryAfterS: 15 }), [15_000])
    t.same(delays({ ...cause, retryAfterS: 16 }), [])
    t.end()
  })
  t.test('counts slow first tokens by their own limit', (t) => {
    t.same(delays({ code: 'GW_UPSTREAM_HEADERS_TIMEOUT' }), [1000])
    t.same(delays({ code: 'GW_UPSTREAM_HEADERS_TIMEOUT' }, { firstTokenMaxRetries: 1 }), [])
    t.end()
  })
  t.test('stops when the budget is used up', (t) => {
    t.same(delays(throttled, { hasBudget: false }), [])
    t.end()
  })
  t.end()
})

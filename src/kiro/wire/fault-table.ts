import type { ErrorCode } from '../../shared/errors.ts'

/**
 * What can make a failed call succeed:
 *
 * - `back-off`: the same call, later; `retry-once`: the same, once; `retry-model`: the same, if the model is
 *   in the live list, since the upstream denies known models now and then.
 * - `refresh-token`: one forced refresh, then once more.
 * - `add-profile` / `drop-profile`: resolve the profile ARN, or leave it out (or try the next host), once.
 * - `new-conversation`: another conversation id, once. `next-host`: the next of `hostsFor`.
 */
export type Remedy =
  | 'none'
  | 'back-off'
  | 'retry-once'
  | 'retry-model'
  | 'refresh-token'
  | 'add-profile'
  | 'drop-profile'
  | 'new-conversation'
  | 'next-host'

/** What the rules look at. `type` is normalized, `text` is the message in lower case. */
export interface FaultFacts {
  readonly status: number
  readonly type: string
  readonly reason: string
  readonly text: string
  readonly form: 'json' | 'text' | 'html' | 'empty'
}

const QUOTA = ['MONTHLY_REQUEST_COUNT', 'DAILY_REQUEST_COUNT', 'OVERAGE_REQUEST_LIMIT_EXCEEDED']
const CONVERSATION = ['INVALID_CONVERSATION_ID', 'CONVERSATION_LIMIT_EXCEEDED']
const CAPACITY = ['MODEL_TEMPORARILY_UNAVAILABLE', 'INSUFFICIENT_MODEL_CAPACITY']
const TOKEN_TYPES = ['expiredtoken', 'invalidtoken', 'unauthorized', 'unrecognizedclient']

/** kiro-protocol §4.14 and §8.2, most telling first: a reason beats a status, a status a guess. */
const MEANINGS: readonly (readonly [ErrorCode, Remedy, (facts: FaultFacts) => boolean])[] = [
  ['GW_UPSTREAM_SUSPENDED', 'none', isSuspension],
  ['GW_CONTEXT_OVERFLOW', 'none', isOverflow],
  ['GW_UPSTREAM_REFUSED', 'new-conversation', ({ reason }) => CONVERSATION.includes(reason)],
  ['GW_UPSTREAM_QUOTA', 'none', isQuota],
  ['GW_MODEL_UNKNOWN', 'retry-model', ({ reason }) => reason === 'INVALID_MODEL_ID'],
  ['GW_UPSTREAM_OVERLOADED', 'back-off', isOverload],
  ['GW_UPSTREAM_STATUS', 'retry-once', ({ text }) => text.includes('internal validation error')],
  ['GW_UPSTREAM_REFUSED', 'none', ({ reason }) => reason.includes('KMS')],
  // The abuse guard: more calls make it worse.
  [
    'GW_UPSTREAM_RATE_LIMITED',
    'none',
    (facts) => isThrottle(facts) && facts.text.includes('suspicious')
  ],
  ['GW_UPSTREAM_RATE_LIMITED', 'back-off', isThrottle],
  ['GW_UPSTREAM_REFUSED', 'add-profile', ({ text }) => text.includes('profilearn is required')],
  ['GW_UPSTREAM_AUTH', 'none', ({ text }) => text.includes('provided credential is invalid')],
  ['GW_UPSTREAM_STATUS', 'back-off', ({ status, form }) => status === 403 && form === 'html'],
  ['GW_UPSTREAM_AUTH', 'refresh-token', isTokenRefusal],
  ['GW_UPSTREAM_FORBIDDEN', 'drop-profile', isForeignProfile],
  ['GW_UPSTREAM_FORBIDDEN', 'none', ({ status }) => status === 403],
  ['GW_UPSTREAM_STATUS', 'back-off', ({ status }) => [500, 502, 504].includes(status)],
  ['GW_UPSTREAM_STATUS', 'next-host', ({ status }) => status === 404],
  ['GW_UPSTREAM_REFUSED', 'none', ({ status }) => [400, 409, 422].includes(status)]
]

/** What a refusal of the upstream means, and what can be done about it. */
export function judgeFault(facts: FaultFacts): {
  readonly code: ErrorCode
  readonly remedy: Remedy
} {
  const found = MEANINGS.find(([, , applies]) => applies(facts))
  const [code, remedy] = found ?? ['GW_UPSTREAM_STATUS', 'none']
  return { code, remedy }
}

/** The HTTP status that an exception inside a stream stands for (kiro-protocol §5.9). */
export function statusOfType(type: string): number {
  if (type === 'internalserver') return 500
  if (type === 'serviceunavailable') return 503
  if (type === 'throttling') return 429
  if (type === 'accessdenied') return 403
  return TOKEN_TYPES.includes(type) ? 401 : 400
}

/** The message is the reliable sign: the reason is often missing. */
function isSuspension({ status, reason, text }: FaultFacts): boolean {
  const isSaid = reason === 'TEMPORARILY_SUSPENDED' || /temporarily (?:is )?suspended/.test(text)
  return status === 423 || isSaid
}

function isOverflow({ status, type, reason, text }: FaultFacts): boolean {
  return (
    status === 413 ||
    type === 'contentlengthexceeded' ||
    reason === 'CONTENT_LENGTH_EXCEEDS_THRESHOLD' ||
    text.includes('input is too long')
  )
}

function isQuota({ status, type, reason, text }: FaultFacts): boolean {
  return (
    status === 402 ||
    type === 'servicequotaexceeded' ||
    QUOTA.includes(reason) ||
    text.includes('maximum request reached for this month')
  )
}

function isOverload({ status, reason, text }: FaultFacts): boolean {
  return status === 503 || CAPACITY.includes(reason) || text.includes('unexpectedly high load')
}

function isThrottle({ status, type }: FaultFacts): boolean {
  return status === 429 || type === 'throttling'
}

function isTokenRefusal({ status, type, text, form }: FaultFacts): boolean {
  if (status === 401 || TOKEN_TYPES.includes(type)) return true
  if (status !== 403) return false
  // A 403 that says nothing may be a token as well as anything else, and one refresh does no harm.
  return form === 'empty' || /\btoken\b.*\b(?:invalid|expired)\b/.test(text)
}

function isForeignProfile({ status, text }: FaultFacts): boolean {
  return status === 403 && text.includes('not authorized to make this call')
}

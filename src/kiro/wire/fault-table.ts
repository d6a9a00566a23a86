import type { ErrorCode } from '../../shared/errors.ts'

/**
 * A remedy that can make a failed call succeed:
 *
 * - `back-off`: the same call, later; `retry-once`: the same, once; `wait-once`: the same, once, after the wait that the
 *   refusal asks for, unless that is long; `retry-model`: the same, if the model is in the live list, since the upstream
 *   denies known models now and then.
 * - `refresh-token`: one forced refresh, then once more.
 * - `add-profile` / `drop-profile`: resolve the profile ARN, or leave it out (or try the next host), once.
 * - `new-conversation`: another conversation id, once. `next-host`: the next of `hostsFor`.
 * - `other-form`: the other form of request. `strip-reasoning`: without the reasoning of earlier answers.
 *   `drop-fields`: without the refused `additionalModelRequestFields`.
 */
export type Remedy =
  | 'none'
  | 'back-off'
  | 'retry-once'
  | 'wait-once'
  | 'retry-model'
  | 'refresh-token'
  | 'add-profile'
  | 'drop-profile'
  | 'new-conversation'
  | 'next-host'
  | 'other-form'
  | 'strip-reasoning'
  | 'drop-fields'

/**
 * Consequence of a refusal for the whole account, so that other requests need not be refused upstream, too:
 *
 * - a used-up quota: `monthly` until the account's next reset, `daily`, `hourly`, or `unnamed`;
 * - a rate: `credit-rate` for minutes, `user-rate` for seconds, `rate`, of the user or the service, for as long as it says;
 * - `suspicion`: abuse protection; more calls make it suspend the account;
 * - `not-admitted`: the account's seat does not admit this program.
 */
export type Bar =
  | 'monthly'
  | 'daily'
  | 'hourly'
  | 'unnamed'
  | 'credit-rate'
  | 'user-rate'
  | 'rate'
  | 'suspicion'
  | 'not-admitted'

export interface FaultFacts {
  readonly status: number
  readonly type: string
  readonly reason: string
  readonly text: string
  readonly form: 'json' | 'text' | 'html' | 'empty'
}

/** Quotas by their exact reason: prose speaks of limits of any kind. */
const QUOTAS: Readonly<Record<string, Bar>> = {
  MONTHLY_REQUEST_COUNT: 'monthly',
  WEEKLY_REQUEST_COUNT: 'monthly',
  USAGE_LIMIT_REACHED: 'monthly',
  OVERAGE_REQUEST_LIMIT_EXCEEDED: 'monthly',
  DAILY_REQUEST_COUNT: 'daily',
  HOURLY_REQUEST_COUNT: 'hourly'
}
const CAPACITY = ['MODEL_TEMPORARILY_UNAVAILABLE', 'INSUFFICIENT_MODEL_CAPACITY']
const SIGNATURE_WORDS = [
  'in `thinking` block',
  'block is bound to',
  'the thinking block that preceded'
]

const FIELDS_WORDS = [
  'additionalmodelrequestfields',
  'is not defined in the schema',
  'must have a maximum value'
]

/** Reasons seen or modelled (kiro-protocol §4.14, §8.8). */
const REASONS: ReadonlySet<string> = new Set([
  ...Object.keys(QUOTAS),
  ...CAPACITY,
  'CREDIT_CONSUMPTION_RATE_EXCEEDED',
  'USER_REQUEST_RATE_EXCEEDED',
  'SERVICE_REQUEST_RATE_EXCEEDED',
  'TEMPORARILY_SUSPENDED',
  'CONTENT_LENGTH_EXCEEDS_THRESHOLD',
  'CONVERSATION_LIMIT_EXCEEDED',
  'INVALID_CONVERSATION_ID',
  'INVALID_MODEL_ID',
  'REQUEST_BODY_INVALID',
  'THINKING_SIGNATURE_INVALID',
  'TOOL_DUPLICATE',
  'TOOL_SCHEMA_INVALID'
])

export function isKnownReason(reason: string): boolean {
  const name = reason.toUpperCase()
  return REASONS.has(name) || name.includes('KMS')
}

export function isCapacityReason(reason: string): boolean {
  return CAPACITY.includes(reason.toUpperCase())
}

export function mentionsCapacity(text: string): boolean {
  const upper = text.toUpperCase()
  return CAPACITY.some((reason) => upper.includes(reason))
}

const TOKEN_TYPES = ['expiredtoken', 'invalidtoken', 'unauthorized', 'unrecognizedclient']

const hasReason =
  (name: string) =>
  ({ reason }: FaultFacts): boolean =>
    reason === name

/** Rules of kiro-protocol §4.14, §8.2 and §8.8, most telling first: a reason beats a status, a status a guess. */
const MEANINGS: readonly (readonly [ErrorCode, Remedy, (facts: FaultFacts) => boolean, Bar?])[] = [
  ['GW_UPSTREAM_SUSPENDED', 'none', isSuspension],
  ['GW_UPSTREAM_RESTRICTED', 'none', isSuspicion, 'suspicion'],
  ['GW_CLIENT_NOT_ADMITTED', 'none', isNotAdmitted, 'not-admitted'],
  ['GW_CONTEXT_OVERFLOW', 'none', isOverflow],
  ['GW_UPSTREAM_REFUSED', 'new-conversation', hasReason('INVALID_CONVERSATION_ID')],
  ['GW_CONTEXT_OVERFLOW', 'new-conversation', hasReason('CONVERSATION_LIMIT_EXCEEDED')],
  ...Object.entries(QUOTAS).map(
    ([reason, bar]) => ['GW_UPSTREAM_QUOTA', 'none', hasReason(reason), bar] as const
  ),
  [
    'GW_UPSTREAM_RATE_LIMITED',
    'none',
    hasReason('CREDIT_CONSUMPTION_RATE_EXCEEDED'),
    'credit-rate'
  ],
  ['GW_UPSTREAM_RATE_LIMITED', 'wait-once', hasReason('USER_REQUEST_RATE_EXCEEDED'), 'user-rate'],
  ['GW_UPSTREAM_RATE_LIMITED', 'back-off', hasReason('SERVICE_REQUEST_RATE_EXCEEDED'), 'rate'],
  ['GW_UPSTREAM_OVERLOADED', 'back-off', ({ reason }) => CAPACITY.includes(reason)],
  ['GW_UPSTREAM_QUOTA', 'none', isQuota, 'unnamed'],
  ['GW_MODEL_UNKNOWN', 'retry-model', hasReason('INVALID_MODEL_ID')],
  ['GW_UPSTREAM_OVERLOADED', 'back-off', isOverload, 'rate'],
  ['GW_UPSTREAM_STATUS', 'retry-once', ({ text }) => text.includes('internal validation error')],
  ['GW_UPSTREAM_REFUSED', 'none', ({ reason }) => reason.includes('KMS')],
  ['GW_UPSTREAM_RATE_LIMITED', 'back-off', isThrottle, 'rate'],
  ['GW_UPSTREAM_REFUSED', 'strip-reasoning', isSignatureRefusal],
  ['GW_UPSTREAM_REFUSED', 'drop-fields', isFieldsRefusal],
  ['GW_UPSTREAM_REFUSED', 'other-form', hasReason('REQUEST_BODY_INVALID')],
  ['GW_UPSTREAM_REFUSED', 'other-form', ({ type }) => type === 'unknownoperation'],
  ['GW_UPSTREAM_REFUSED', 'add-profile', ({ text }) => text.includes('profilearn is required')],
  ['GW_UPSTREAM_AUTH', 'none', ({ text }) => text.includes('provided credential is invalid')],
  ['GW_UPSTREAM_STATUS', 'back-off', ({ status, form }) => status === 403 && form === 'html'],
  ['GW_UPSTREAM_AUTH', 'refresh-token', namesToken],
  // A bare 403 may be about the token, and one refresh does no harm.
  ['GW_UPSTREAM_AUTH', 'refresh-token', ({ status, form }) => status === 403 && form === 'empty'],
  ['GW_UPSTREAM_FORBIDDEN', 'drop-profile', isForeignProfile],
  ['GW_UPSTREAM_FORBIDDEN', 'none', ({ status }) => status === 403],
  ['GW_UPSTREAM_STATUS', 'back-off', ({ status }) => [500, 502, 504].includes(status)],
  ['GW_UPSTREAM_STATUS', 'next-host', ({ status }) => status === 404],
  ['GW_UPSTREAM_REFUSED', 'none', ({ status }) => [400, 409, 422].includes(status)]
]

export interface Verdict {
  readonly code: ErrorCode
  readonly remedy: Remedy
  readonly bar: Bar | null
}

export function judgeFault(facts: FaultFacts): Verdict {
  const found = MEANINGS.find(([, , applies]) => applies(facts))
  const [code, remedy, , bar = null] = found ?? ['GW_UPSTREAM_STATUS', 'none']
  return { code, remedy, bar }
}

/** See kiro-protocol §5.9. */
export function statusOfType(type: string): number {
  if (type === 'internalserver') return 500
  if (type === 'serviceunavailable') return 503
  if (type === 'throttling') return 429
  if (type === 'accessdenied') return 403
  return TOKEN_TYPES.includes(type) ? 401 : 400
}

/**
 * Trusts the message, as reasons are often missing, but not with every status: refusals may repeat words of
 * a client.
 */
function isSuspension({ status, reason, text }: FaultFacts): boolean {
  if (status === 423 || reason === 'TEMPORARILY_SUSPENDED') return true
  return status === 403 && /temporarily (?:is )?suspended/.test(text)
}

function isSuspicion(facts: FaultFacts): boolean {
  return isThrottle(facts) && facts.text.includes('suspicious')
}

function isNotAdmitted({ status, text }: FaultFacts): boolean {
  return status === 403 && text.includes('does not support this application')
}

function isOverflow({ status, type, reason, text }: FaultFacts): boolean {
  return (
    status === 413 ||
    type === 'contentlengthexceeded' ||
    reason === 'CONTENT_LENGTH_EXCEEDS_THRESHOLD' ||
    text.includes('input is too long')
  )
}

/** See kiro-protocol §9.10. */
function isSignatureRefusal({ status, reason, text }: FaultFacts): boolean {
  const isSaid = SIGNATURE_WORDS.some((words) => text.includes(words))
  return status === 400 && (reason === 'THINKING_SIGNATURE_INVALID' || isSaid)
}

/** See kiro-protocol §4.14. Refusals of tool schemas have reasons of their own. */
function isFieldsRefusal({ status, reason, text }: FaultFacts): boolean {
  const mayBe = status === 400 && ['', 'REQUEST_BODY_INVALID'].includes(reason)
  return mayBe && FIELDS_WORDS.some((words) => text.includes(words))
}

function isQuota(facts: FaultFacts): boolean {
  const { status, type, text } = facts
  const isSaid = isThrottle(facts) && text.includes('maximum request reached for this month')
  return status === 402 || type === 'servicequotaexceeded' || isSaid
}

function isOverload({ status, text }: FaultFacts): boolean {
  return status === 503 || text.includes('unexpectedly high load')
}

function isThrottle({ status, type }: FaultFacts): boolean {
  return status === 429 || type === 'throttling'
}

export function namesToken({ status, type, text }: FaultFacts): boolean {
  if (status === 401 || TOKEN_TYPES.includes(type)) return true
  return status === 403 && /\btoken\b.*\b(?:invalid|expired)\b/.test(text)
}

function isForeignProfile({ status, text }: FaultFacts): boolean {
  return status === 403 && text.includes('not authorized to make this call')
}

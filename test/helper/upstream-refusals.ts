import { faultOfResponse } from '../../src/kiro/wire/fault.ts'
import type { Bar, Remedy } from '../../src/kiro/wire/fault-table.ts'

/** A refusal of the upstream and what becomes of it; the table of docs/errors.md is made of these. */
export interface UpstreamRefusal {
  readonly status: number
  /** JSON; a text is sent as it is. */
  readonly body: Readonly<Record<string, unknown>> | string
  readonly headers?: Readonly<Record<string, string>>
  readonly openAi: readonly [status: number, type: string, code: string | null, param?: string]
  readonly anthropic: readonly [status: number, type: string]
  /** `retry-after`; `final`: no time, and the client must not try again; `null`: neither. */
  readonly later: string | null
  /** Calls with two attempts allowed. */
  readonly calls: number
  readonly bar?: Bar
  /** What the message says beyond the upstream's. */
  readonly says?: RegExp
}

type Told = Pick<UpstreamRefusal, 'openAi' | 'anthropic' | 'later' | 'calls'>

const THROTTLING = 'com.amazon.kiro.runtimeservice#ThrottlingException'
const QUOTA = 'com.amazon.kiro.runtimeservice#ServiceQuotaExceededException'
export const SUSPICIOUS =
  'Due to suspicious activity, we are imposing temporary limits on how frequently your account (x) can send a request to Kiro while we investigate.'
export const FOREIGN_PROGRAM =
  'Your subscription does not support this application. Please contact your administrator.'

const exhausted: Told = {
  openAi: [429, 'insufficient_quota', 'insufficient_quota'],
  anthropic: [429, 'rate_limit_error'],
  later: 'final',
  calls: 1
}
const limited: Told = {
  openAi: [429, 'rate_limit_error', 'rate_limit_exceeded'],
  anthropic: [429, 'rate_limit_error'],
  later: '3',
  calls: 2
}
const overloaded: Told = {
  openAi: [503, 'server_error', 'overloaded'],
  anthropic: [529, 'overloaded_error'],
  later: '3',
  calls: 2
}
const refused: Told = {
  openAi: [400, 'invalid_request_error', null],
  anthropic: [400, 'invalid_request_error'],
  later: 'final',
  calls: 1
}
const tooLong: Told = {
  ...refused,
  openAi: [400, 'invalid_request_error', 'context_length_exceeded', 'messages']
}
const unsigned: Told = {
  openAi: [401, 'authentication_error', 'upstream_auth_failed'],
  anthropic: [401, 'authentication_error'],
  later: 'final',
  calls: 2
}
const forbidden: Told = {
  openAi: [403, 'permission_error', null],
  anthropic: [403, 'permission_error'],
  later: 'final',
  calls: 1
}
const failed: Told = {
  openAi: [502, 'server_error', 'upstream_error'],
  anthropic: [502, 'api_error'],
  later: null,
  calls: 2
}

const MESSAGE = 'Said of this request'

function because(status: number, reason: string, told: Told): UpstreamRefusal {
  return { status, body: { message: MESSAGE, reason }, ...told }
}

function worded(status: number, message: string, told: Told): UpstreamRefusal {
  return { status, body: { message, reason: null }, ...told }
}

function quota(status: number, reason: string | null, bar: Bar, type = THROTTLING) {
  const body = { __type: type, message: 'You have reached the limit.', reason }
  return { status, body, ...exhausted, bar }
}

function throttle(reason: string | null, more: object = {}, message = 'Too many requests.') {
  return { status: 429, body: { __type: THROTTLING, message, reason, ...more } }
}

/** Every reason that is known, and what is told apart by its words or its status alone. */
export const UPSTREAM_REFUSALS: Readonly<Record<string, UpstreamRefusal>> = {
  'monthly quota': quota(402, 'MONTHLY_REQUEST_COUNT', 'monthly', QUOTA),
  'monthly quota, old form': quota(400, 'MONTHLY_REQUEST_COUNT', 'monthly'),
  'cap on overage': quota(402, 'OVERAGE_REQUEST_LIMIT_EXCEEDED', 'monthly', QUOTA),
  'cap on overage, with 403': quota(403, 'OVERAGE_REQUEST_LIMIT_EXCEEDED', 'monthly', QUOTA),
  'quota without a reason': quota(402, null, 'unnamed', QUOTA),
  'quota without a word': { status: 402, body: '', ...exhausted, bar: 'unnamed' },
  'unknown quota': quota(402, 'SOMETHING_NEW', 'unnamed', QUOTA),
  'weekly quota': quota(429, 'WEEKLY_REQUEST_COUNT', 'monthly'),
  'usage limit': quota(429, 'USAGE_LIMIT_REACHED', 'monthly'),
  'daily quota': quota(429, 'DAILY_REQUEST_COUNT', 'daily'),
  'hourly quota': quota(429, 'HOURLY_REQUEST_COUNT', 'hourly'),
  'conversation limit': {
    ...because(402, 'CONVERSATION_LIMIT_EXCEEDED', tooLong),
    calls: 2
  },
  'credit rate': {
    ...throttle('CREDIT_CONSUMPTION_RATE_EXCEEDED', { retryAfterMilliseconds: 300_000 }),
    ...limited,
    later: '300',
    calls: 1,
    bar: 'credit-rate'
  },
  'credit rate without a time': {
    ...throttle('CREDIT_CONSUMPTION_RATE_EXCEEDED'),
    ...limited,
    later: '300',
    calls: 1,
    bar: 'credit-rate'
  },
  'user rate': {
    ...throttle('USER_REQUEST_RATE_EXCEEDED'),
    headers: { 'retry-after': '1' },
    ...limited,
    later: '1',
    bar: 'user-rate'
  },
  'user rate with a long wait': {
    ...throttle('USER_REQUEST_RATE_EXCEEDED'),
    headers: { 'retry-after': '16' },
    ...limited,
    later: '16',
    calls: 1,
    bar: 'user-rate'
  },
  'service rate': { ...throttle('SERVICE_REQUEST_RATE_EXCEEDED'), ...limited },
  'rate in words of limits': {
    ...throttle(null, {}, 'You have reached the limit of requests.'),
    ...limited
  },
  'rate with a long wait': {
    ...throttle(null),
    headers: { 'retry-after': '90' },
    ...limited,
    later: '90',
    calls: 1,
    bar: 'rate'
  },
  'no capacity': { ...throttle('INSUFFICIENT_MODEL_CAPACITY'), ...overloaded },
  'no capacity, with 500': because(500, 'MODEL_TEMPORARILY_UNAVAILABLE', overloaded),
  'high load': worded(
    500,
    'Encountered unexpectedly high load when processing the request, please try again.',
    overloaded
  ),
  unavailable: worded(503, MESSAGE, overloaded),
  suspicion: {
    ...throttle(null, {}, SUSPICIOUS),
    openAi: [429, 'rate_limit_error', 'account_restricted'],
    anthropic: [429, 'rate_limit_error'],
    later: 'final',
    calls: 1,
    bar: 'suspicion'
  },
  'seat for other programs': {
    status: 403,
    body: {
      __type: 'com.amazon.aws.codewhisperer#AccessDeniedException',
      message: FOREIGN_PROGRAM
    },
    ...forbidden,
    openAi: [403, 'permission_error', 'client_not_supported'],
    bar: 'not-admitted',
    says: /API key .*the official way.*KIRO_API_KEY.*KIRO_USER_AGENT/
  },
  suspended: because(403, 'TEMPORARILY_SUSPENDED', forbidden),
  'suspended, in words': worded(403, 'Your User ID (x) temporarily is suspended.', forbidden),
  locked: worded(423, MESSAGE, forbidden),
  'not entitled': because(403, 'FEATURE_NOT_SUPPORTED', forbidden),
  'not authorized': worded(403, 'User is not authorized', forbidden),
  'foreign profile': {
    ...worded(403, 'User is not authorized to make this call.', forbidden),
    calls: 2
  },
  'disabled key of an organisation': because(409, 'CUSTOMER_KMS_KEY_DISABLED', refused),
  'key of an organisation': because(400, 'INVALID_KMS_GRANT', refused),
  'refused token': worded(403, 'The bearer token included in the request is invalid.', unsigned),
  'refused token, with 401': worded(401, MESSAGE, unsigned),
  'token of another program': {
    ...worded(400, 'The provided credential is invalid', unsigned),
    calls: 1
  },
  'no profile': worded(400, 'profileArn is required for this request.', refused),
  'too long': because(400, 'CONTENT_LENGTH_EXCEEDS_THRESHOLD', tooLong),
  'unknown model': {
    ...because(400, 'INVALID_MODEL_ID', refused),
    openAi: [404, 'invalid_request_error', 'model_not_found', 'model'],
    anthropic: [404, 'not_found_error']
  },
  'conversation id': { ...because(400, 'INVALID_CONVERSATION_ID', refused), calls: 2 },
  'two tools of one name': because(400, 'TOOL_DUPLICATE', refused),
  'schema of a tool': because(400, 'TOOL_SCHEMA_INVALID', refused),
  'signed reasoning': because(400, 'THINKING_SIGNATURE_INVALID', refused),
  'wish about reasoning': worded(
    400,
    "Invalid additionalModelRequestFields: property 'reasoning' is not defined in the schema",
    refused
  ),
  'shape or form': { ...because(400, 'REQUEST_BODY_INVALID', refused), calls: 2 },
  'unknown operation': {
    status: 400,
    body: { __type: 'UnknownOperationException', message: MESSAGE },
    ...refused,
    calls: 2
  },
  'unknown path': { ...worded(404, MESSAGE, failed), calls: 2 },
  shape: worded(400, 'Improperly formed request.', refused),
  'unknown reason': because(400, 'SOMETHING_NEW', refused),
  'page of a network': {
    status: 403,
    headers: { 'content-type': 'text/html' },
    body: '<html><body>Request blocked.</body></html>',
    ...failed
  },
  'failed validation': worded(
    500,
    'The request could not be processed due to an internal validation error. Please try again.',
    failed
  ),
  'unknown failure': worded(500, MESSAGE, failed),
  'bad gateway': worded(502, MESSAGE, failed),
  'gateway timeout': worded(504, MESSAGE, failed),
  'unknown status': { ...worded(418, MESSAGE, failed), calls: 1 }
}

/** The words of the upstream, where it has any. */
export function reasonOf({ body }: Pick<UpstreamRefusal, 'body'>): string | null {
  return typeof body === 'string' || typeof body['reason'] !== 'string' ? null : body['reason']
}

/** How the gateway asks again, in the words of docs/errors.md. */
const AGAIN: Readonly<Record<Remedy, string>> = {
  none: 'no',
  'back-off': 'yes',
  'retry-once': 'once',
  'wait-once': 'once, after its wait',
  'retry-model': 'if the list has the model',
  'refresh-token': 'once, with a new token',
  'add-profile': 'at the next host',
  'drop-profile': 'once, without the profile',
  'new-conversation': 'once, as a new conversation',
  'next-host': 'once, in the other form; then at the next host',
  'other-form': 'once, in the other form',
  'strip-reasoning': 'once, without it',
  'drop-fields': 'once, without it'
}

/** For how long the account is not asked at all. */
const BARRED: Readonly<Record<Bar, string>> = {
  monthly: 'until its reset, else 1 h',
  daily: 'until midnight UTC, 1 h at most',
  hourly: '15 min',
  unnamed: '1 h',
  'credit-rate': 'as long as it says, else 5 min',
  'user-rate': 'as long as it says, else 10 s',
  rate: 'as long as it says',
  suspicion: '30 min, doubled up to a day',
  'not-admitted': '1 h'
}

const HEAD = [
  'what',
  'upstream',
  'Chat Completions, Responses: status, `type`, `code`',
  'Messages: status, `type`',
  'header',
  'asked again',
  'account rests'
]

/** The table of docs/errors.md. */
export function refusalTable(): string {
  const rows = Object.entries(UPSTREAM_REFUSALS).map(([name, refusal]) => toRow(name, refusal))
  return [HEAD, HEAD.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |\n`).join('')
}

function toRow(name: string, refusal: UpstreamRefusal): readonly string[] {
  const { status, openAi, anthropic, later, bar } = refusal
  const reason = reasonOf(refusal)
  const [openAiStatus, openAiType, code] = openAi
  return [
    name,
    `${status}${reason === null ? '' : ` \`${reason}\``}`,
    `${openAiStatus} \`${openAiType}\` ${code === null ? '–' : `\`${code}\``}`,
    `${anthropic[0]} \`${anthropic[1]}\``,
    headerOf(later),
    againOf(refusal),
    bar === undefined ? restOf(refusal) : BARRED[bar]
  ]
}

function headerOf(later: UpstreamRefusal['later']): string {
  if (later === null) return '–'
  return later === 'final' ? '`x-should-retry: false`' : `\`retry-after: ${later}\``
}

function faultOf({ status, headers = {}, body }: UpstreamRefusal) {
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return faultOfResponse({ status, headers, body: text, now: 0 })
}

function restOf(refusal: UpstreamRefusal): string {
  return faultOf(refusal).code === 'GW_UPSTREAM_SUSPENDED' ? 'until another sign-in' : '–'
}

function againOf(refusal: UpstreamRefusal): string {
  const { calls } = refusal
  const { remedy } = faultOf(refusal)
  const isWait = remedy === 'back-off' || remedy === 'wait-once'
  return isWait && calls === 1 ? 'no, the wait is too long' : AGAIN[remedy]
}

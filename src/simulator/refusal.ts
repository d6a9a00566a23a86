import type { RuleId } from '../kiro/rules/rules.ts'

export interface Refusal {
  readonly status: number
  readonly errorType: string
  readonly message: string
  readonly reason: string | null
  readonly retryAfterS?: number
  readonly retryAfterMilliseconds?: number
  readonly html?: string
  /** Missing if the prompt asked for the refusal. Reported only here, in `x-simulator-rule`. */
  readonly rule?: RuleId
  readonly violation?: string
}

const IMPROPER = 'Improperly formed request.'

/** The usual message explains nothing, as for most violations of the shape (kiro-protocol §4.14). */
export function improper(
  rule: RuleId,
  violation: string,
  message = IMPROPER,
  reason: string | null = null
): Refusal {
  return { ...badRequest(message, reason), rule, violation }
}

export function invalidBody(rule: RuleId, violation: string, message = IMPROPER): Refusal {
  return improper(rule, violation, message, 'REQUEST_BODY_INVALID')
}

export function badRequest(message: string, reason: string | null): Refusal {
  return { status: 400, errorType: 'ValidationException', message, reason }
}

export function forbidden(message: string, reason: string | null = null): Refusal {
  return { status: 403, errorType: 'AccessDeniedException', message, reason }
}

function throttle(
  reason: string | null,
  message = 'Too many requests, please wait before trying again.'
): Refusal {
  return { status: 429, errorType: 'ThrottlingException', message, reason }
}

function quota(reason: string): Refusal {
  return throttle(reason, 'You have reached the limit.')
}

export function firstRefusal<T>(
  items: readonly T[],
  check: (item: T, index: number) => Refusal | null
): Refusal | null {
  for (const [index, item] of items.entries()) {
    const refusal = check(item, index)
    if (refusal !== null) return refusal
  }
  return null
}

/** Faults on demand, with real status and wording (kiro-protocol §8.2). */
export const FAULTS = {
  quota: {
    status: 402,
    errorType: 'ServiceQuotaExceededException',
    message: 'You have reached the limit.',
    reason: 'MONTHLY_REQUEST_COUNT'
  },
  'quota-unnamed': { ...quota(''), status: 402, reason: null },
  weekly: quota('WEEKLY_REQUEST_COUNT'),
  daily: quota('DAILY_REQUEST_COUNT'),
  hourly: quota('HOURLY_REQUEST_COUNT'),
  'usage-limit': quota('USAGE_LIMIT_REACHED'),
  overage: {
    status: 402,
    errorType: 'ServiceQuotaExceededException',
    message: "You've reached your overage limit.",
    reason: 'OVERAGE_REQUEST_LIMIT_EXCEEDED'
  },
  'conversation-limit': {
    status: 402,
    errorType: 'ServiceQuotaExceededException',
    message: 'The conversation has reached its limit.',
    reason: 'CONVERSATION_LIMIT_EXCEEDED'
  },
  'credit-rate': throttle('CREDIT_CONSUMPTION_RATE_EXCEEDED'),
  'user-rate': throttle('USER_REQUEST_RATE_EXCEEDED'),
  'service-rate': throttle('SERVICE_REQUEST_RATE_EXCEEDED'),
  capacity: throttle('INSUFFICIENT_MODEL_CAPACITY'),
  suspicious: throttle(
    null,
    'Due to suspicious activity, we are imposing temporary limits on how frequently your account (d-simulated) can send a request to Kiro while we investigate.'
  ),
  'not-admitted': forbidden(
    'Your subscription does not support this application. Please contact your administrator.'
  ),
  'bad-signature': badRequest('Invalid signature in thinking block.', 'THINKING_SIGNATURE_INVALID'),
  'invalid-body': badRequest(IMPROPER, 'REQUEST_BODY_INVALID'),
  suspended: forbidden(
    "Your User ID (d-simulated) temporarily is suspended. We've locked your account as a security precaution.",
    'TEMPORARILY_SUSPENDED'
  ),
  expired: forbidden('The bearer token included in the request is invalid.'),
  throttled: {
    status: 429,
    errorType: 'ThrottlingException',
    message: 'Too many requests, please wait before trying again.',
    reason: null,
    retryAfterS: 1
  },
  overloaded: {
    status: 500,
    errorType: 'InternalServerException',
    message: 'Encountered unexpectedly high load when processing the request, please try again.',
    reason: 'MODEL_TEMPORARILY_UNAVAILABLE'
  },
  flaky: {
    status: 500,
    errorType: 'InternalServerException',
    message:
      'The request could not be processed due to an internal validation error. Please try again.',
    reason: null
  },
  unavailable: {
    status: 503,
    errorType: 'ServiceUnavailableException',
    message: 'Service is temporarily unavailable.',
    reason: null
  },
  'context-overflow': badRequest('Input is too long.', 'CONTENT_LENGTH_EXCEEDS_THRESHOLD'),
  improper: badRequest(IMPROPER, null),
  'wrong-form': badRequest(IMPROPER, 'REQUEST_BODY_INVALID'),
  'unknown-operation': {
    status: 404,
    errorType: 'UnknownOperationException',
    message: '',
    reason: null
  },
  'invalid-model': badRequest(
    'Invalid model. Please select a different model to continue.',
    'INVALID_MODEL_ID'
  ),
  html: {
    status: 403,
    errorType: '',
    message: '',
    reason: null,
    html: '<html><head><title>403 Forbidden</title></head><body><h1>Request blocked.</h1></body></html>\n'
  }
} as const satisfies Record<string, Refusal>

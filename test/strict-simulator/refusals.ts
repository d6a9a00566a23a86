import type { RuleId } from '../../src/kiro/rules/rules.ts'
import { badRequest, forbidden, type Refusal, throttled } from '../../src/simulator/refusal.ts'
import type { ControlWords } from '../../src/simulator/words.ts'

/** A refusal that says more than those which a gateway without credentials shows. */
export interface StrictRefusal extends Refusal {
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
): StrictRefusal {
  return { ...badRequest(message, reason), rule, violation }
}

export function invalidBody(rule: RuleId, violation: string, message = IMPROPER): StrictRefusal {
  return improper(rule, violation, message, 'REQUEST_BODY_INVALID')
}

export function firstRefusal<T>(
  items: readonly T[],
  check: (item: T, index: number) => StrictRefusal | null
): StrictRefusal | null {
  for (const [index, item] of items.entries()) {
    const refusal = check(item, index)
    if (refusal !== null) return refusal
  }
  return null
}

function quota(reason: string | null): StrictRefusal {
  return throttled(reason, 'You have reached the limit.')
}

function exceeded(message: string, reason: string): StrictRefusal {
  return { status: 402, errorType: 'ServiceQuotaExceededException', message, reason }
}

/** Faults on demand that only tests ask for, with real status and wording (kiro-protocol §8.2). */
export const ODD_FAULTS = {
  'quota-unnamed': { ...quota(null), status: 402 },
  weekly: quota('WEEKLY_REQUEST_COUNT'),
  daily: quota('DAILY_REQUEST_COUNT'),
  hourly: quota('HOURLY_REQUEST_COUNT'),
  'usage-limit': quota('USAGE_LIMIT_REACHED'),
  overage: exceeded("You've reached your overage limit.", 'OVERAGE_REQUEST_LIMIT_EXCEEDED'),
  'conversation-limit': exceeded(
    'The conversation has reached its limit.',
    'CONVERSATION_LIMIT_EXCEEDED'
  ),
  'service-rate': throttled('SERVICE_REQUEST_RATE_EXCEEDED'),
  suspicious: throttled(
    null,
    'Due to suspicious activity, we are imposing temporary limits on how frequently your account (d-simulated) can send a request to Kiro while we investigate.'
  ),
  'not-admitted': forbidden(
    'Your subscription does not support this application. Please contact your administrator.'
  ),
  'bad-signature': badRequest('Invalid signature in thinking block.', 'THINKING_SIGNATURE_INVALID'),
  'invalid-body': badRequest(IMPROPER, 'REQUEST_BODY_INVALID'),
  unavailable: {
    status: 503,
    errorType: 'ServiceUnavailableException',
    message: 'Service is temporarily unavailable.',
    reason: null
  },
  html: {
    status: 403,
    errorType: '',
    message: '',
    reason: null,
    html: '<html><head><title>403 Forbidden</title></head><body><h1>Request blocked.</h1></body></html>\n'
  }
} as const satisfies Record<string, StrictRefusal>

export const WRONG_FORM: StrictRefusal = ODD_FAULTS['invalid-body']
export const UNKNOWN_OPERATION: StrictRefusal = {
  status: 404,
  errorType: 'UnknownOperationException',
  message: '',
  reason: null
}
export function findOddFault({ numbers }: ControlWords): StrictRefusal | null {
  const named = Object.entries(ODD_FAULTS).find(([word]) => numbers.has(word))
  if (named !== undefined) return named[1]
  const creditWaitS = numbers.get('credit-rate')
  if (creditWaitS !== undefined) {
    const retryAfterMilliseconds = creditWaitS * 1000
    return { ...throttled('CREDIT_CONSUMPTION_RATE_EXCEEDED'), retryAfterMilliseconds }
  }
  const userWaitS = numbers.get('user-rate')
  if (userWaitS !== undefined)
    return { ...throttled('USER_REQUEST_RATE_EXCEEDED'), retryAfterS: userWaitS }
  return null
}

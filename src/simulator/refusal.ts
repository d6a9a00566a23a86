export interface Refusal {
  readonly status: number
  readonly errorType: string
  readonly message: string
  readonly reason: string | null
  readonly retryAfterS?: number
}

export function badRequest(message: string, reason: string | null = null): Refusal {
  return { status: 400, errorType: 'ValidationException', message, reason }
}

export function forbidden(message: string, reason: string | null = null): Refusal {
  return { status: 403, errorType: 'AccessDeniedException', message, reason }
}

export function throttled(
  reason: string | null,
  message = 'Too many requests, please wait before trying again.'
): Refusal {
  return { status: 429, errorType: 'ThrottlingException', message, reason }
}

export function failed(message: string, reason: string | null = null): Refusal {
  return { status: 500, errorType: 'InternalServerException', message, reason }
}

export const EXPIRED = forbidden('The bearer token included in the request is invalid.')

/** Refusals by the control word that asks for them, with real status and wording (kiro-protocol §8.2). */
export const FAULTS = {
  quota: {
    status: 402,
    errorType: 'ServiceQuotaExceededException',
    message: 'You have reached the limit.',
    reason: 'MONTHLY_REQUEST_COUNT'
  },
  capacity: throttled('INSUFFICIENT_MODEL_CAPACITY'),
  suspended: forbidden(
    "Your User ID (d-simulated) temporarily is suspended. We've locked your account as a security precaution.",
    'TEMPORARILY_SUSPENDED'
  ),
  overloaded: failed(
    'Encountered unexpectedly high load when processing the request, please try again.',
    'MODEL_TEMPORARILY_UNAVAILABLE'
  ),
  'context-overflow': badRequest('Input is too long.', 'CONTENT_LENGTH_EXCEEDS_THRESHOLD'),
  /** Explains nothing, like the upstream for most violations of the shape (kiro-protocol §4.14). */
  improper: badRequest('Improperly formed request.'),
  'invalid-model': badRequest(
    'Invalid model. Please select a different model to continue.',
    'INVALID_MODEL_ID'
  )
} as const satisfies Record<string, Refusal>

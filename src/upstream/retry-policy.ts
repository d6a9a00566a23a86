import type { Remedy } from '../kiro/fault-table.ts'
import { type ErrorCode, ErrorTable } from '../shared/errors.ts'

/** What the policy needs of a failure: a `GatewayError` and an `UpstreamFault` both fit. */
export interface RetryCause {
  readonly code: ErrorCode
  readonly retryAfterS?: number | null | undefined
  readonly remedy?: Remedy
}

export interface RetrySituation {
  /** Attempts made so far, from 1. Those after a forced token refresh are not counted. */
  readonly attempt: number
  /** Whether a byte of the answer went to the client: after that nothing is retried. */
  readonly hasAnswered: boolean
  /** Whether the live catalogue has the model, so that its denial is the upstream's mistake. */
  readonly isModelListed: boolean
  /** `RetryBudget.left`. */
  readonly budgetLeft: number
}

export interface RetryLimits {
  /** Attempts in all. */
  readonly maxAttempts: number
  /** Attempts in all when the answer does not begin in time. */
  readonly firstTokenMaxRetries: number
  /** From 0 up to, not including, 1. */
  readonly random: () => number
}

export type RetryDecision =
  | { readonly retry: true; readonly delayMs: number }
  | { readonly retry: false }

const FIRST_DELAY_MS = 1000
const FIRST_MODEL_DELAY_MS = 500
const MAX_DELAY_MS = 60_000
const JITTER = 0.25
const NO: RetryDecision = { retry: false }

/**
 * Whether to send the same request again, and when (kiro-protocol §8.3). Remedies that change the request
 * (another token, ARN, host or conversation id) are their callers' business and answered with no.
 */
export function decideRetry(
  cause: RetryCause,
  situation: RetrySituation,
  limits: RetryLimits
): RetryDecision {
  const { attempt, hasAnswered, budgetLeft } = situation
  if (hasAnswered || budgetLeft < 1) return NO
  if (attempt >= maxAttemptsFor(cause, situation, limits)) return NO
  const firstMs = cause.remedy === 'retry-model' ? FIRST_MODEL_DELAY_MS : FIRST_DELAY_MS
  const backOffMs = firstMs * 2 ** (attempt - 1) * (1 + JITTER * limits.random())
  const askedMs = (cause.retryAfterS ?? 0) * 1000
  // Earlier than the upstream asks for is not an option, and nobody waits that long.
  if (askedMs > MAX_DELAY_MS) return NO
  return { retry: true, delayMs: Math.min(Math.max(backOffMs, askedMs), MAX_DELAY_MS) }
}

function maxAttemptsFor(cause: RetryCause, situation: RetrySituation, limits: RetryLimits): number {
  const { code, remedy } = cause
  if (ErrorTable[code].retry === 'never' && remedy !== 'retry-model') return 1
  if (code === 'GW_UPSTREAM_HEADERS_TIMEOUT') return limits.firstTokenMaxRetries
  if (remedy === undefined || remedy === 'back-off') return limits.maxAttempts
  if (remedy === 'retry-once') return Math.min(limits.maxAttempts, 2)
  return remedy === 'retry-model' && situation.isModelListed ? limits.maxAttempts : 1
}

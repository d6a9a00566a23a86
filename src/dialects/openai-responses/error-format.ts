import type { ErrorCode, GatewayError } from '../../shared/errors.ts'
import { toOpenAiMessage } from '../openai-chat/error-format.ts'

/** `error` of a response that failed. */
export interface ResponseError {
  readonly code: string
  readonly message: string
}

/** Seconds, where the upstream did not say. */
const DEFAULT_RETRY_AFTER_S = 3

/**
 * Codes that clients act on: they compact, wait or give up. Every other failure is one that may pass, and Codex tries
 * again on `server_error` (kiro-protocol §11.4).
 */
const CODES: Readonly<Partial<Record<ErrorCode, string>>> = {
  GW_CONTEXT_OVERFLOW: 'context_length_exceeded',
  GW_UPSTREAM_RATE_LIMITED: 'rate_limit_exceeded',
  GW_UPSTREAM_QUOTA: 'insufficient_quota',
  GW_UPSTREAM_REFUSED: 'invalid_prompt',
  GW_BODY_INVALID: 'invalid_prompt',
  GW_UPSTREAM_AUTH: 'upstream_auth_failed',
  GW_UPSTREAM_SUSPENDED: 'permission_error',
  GW_UPSTREAM_FORBIDDEN: 'permission_error',
  GW_MODEL_UNKNOWN: 'model_not_found'
}

/** A failure after the stream began, which its HTTP status can't tell any more (kiro-protocol §8.7). */
export function toResponseError(error: GatewayError): ResponseError {
  const code = CODES[error.code] ?? 'server_error'
  const message = toOpenAiMessage(error)
  if (code !== 'rate_limit_exceeded') return { code, message }
  // Where there is no header for it, Codex reads from these words how long to wait.
  const seconds = Math.max(0, error.retryAfterS ?? DEFAULT_RETRY_AFTER_S)
  return { code, message: `${message} Please try again in ${seconds}s.` }
}

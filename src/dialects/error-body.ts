import type { ErrorKind, GatewayError } from '../shared/errors.ts'
import { OpenAiErrors } from './answer/openai-error.ts'
import type { ErrorFormat } from './answer/sse.ts'
import { AnthropicErrors } from './anthropic-messages/error.ts'
import type { DialectName } from './plan/plan.ts'

/** An error as one client API says it. */
export interface ErrorReply {
  readonly status: number
  /** Lower-case names; `content-type` included. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A client API, or `openai` for routes that belong to none of them, such as the list of models. */
export type ErrorDialect = DialectName | 'openai'

const Formats: Readonly<Record<ErrorDialect, ErrorFormat>> = {
  openai: OpenAiErrors,
  'openai-chat': OpenAiErrors,
  'openai-responses': OpenAiErrors,
  'anthropic-messages': AnthropicErrors
}

/** Statuses after which clients come back by themselves; without a time some give up, others hammer. */
const RetryLaterStatuses: readonly number[] = [429, 503, 529]

/** Seconds, where nobody knows better. */
const DefaultRetryAfterS = 3

/** A used-up quota does not come back in seconds; the hour tells clients not to wait for it. */
const QuotaRetryAfterS = 3600

/** The same request will fail again, so the SDKs must not repeat it (they would for minutes on a 401). */
const FinalStatuses: readonly number[] = [400, 401, 403, 404, 405, 413, 415, 426]

/** The next attempt would cost as much and come to the same. */
const FinalKinds: readonly ErrorKind[] = ['quota', 'answer']

/** The whole HTTP answer for an error, before anything else was sent. */
export function toErrorReply(
  dialect: ErrorDialect,
  error: GatewayError,
  requestId: string
): ErrorReply {
  const format = Formats[dialect]
  const status = format.toStatus(error)
  const headers: Record<string, string> = { 'content-type': 'application/json; charset=utf-8' }
  if (requestId !== '') for (const name of format.requestIdHeaders) headers[name] = requestId
  const retryAfterS = toRetryAfter(error, status)
  if (retryAfterS !== null) headers['retry-after'] = String(retryAfterS)
  if (isFinal(error, status)) headers['x-should-retry'] = 'false'
  return { status, headers, body: format.toBody(error, requestId) }
}

function toRetryAfter(error: GatewayError, status: number): number | null {
  if (error.retryAfterS !== undefined) return Math.max(0, Math.ceil(error.retryAfterS))
  if (!RetryLaterStatuses.includes(status)) return null
  return error.kind === 'quota' ? QuotaRetryAfterS : DefaultRetryAfterS
}

function isFinal(error: GatewayError, status: number): boolean {
  return FinalKinds.includes(error.kind) || FinalStatuses.includes(status)
}

import type { ErrorKind } from '../../shared/error-table.ts'
import type { GatewayError } from '../../shared/errors.ts'
import { type ErrorFormat, toSseEvent } from '../answer/answer-writer.ts'
import { toLimitHeaders, toLimitMessage } from './standing.ts'

/** Anthropic's status for an overloaded model: its clients wait and retry. */
const OverloadedStatus = 529

/** Clients compact on a message that begins like this. */
const OverflowPrefix = 'prompt is too long: '

/** Anthropic's `type` of every kind of error (kiro-protocol §8.6). */
const Types: Readonly<Record<ErrorKind, string>> = {
  key: 'authentication_error',
  limit: 'billing_error',
  often: 'rate_limit_error',
  route: 'not_found_error',
  missing: 'not_found_error',
  method: 'invalid_request_error',
  conflict: 'invalid_request_error',
  stale: 'invalid_request_error',
  upgrade: 'invalid_request_error',
  request: 'invalid_request_error',
  size: 'request_too_large',
  encoding: 'invalid_request_error',
  late: 'invalid_request_error',
  costly: 'invalid_request_error',
  model: 'not_found_error',
  gone: 'invalid_request_error',
  busy: 'overloaded_error',
  failed: 'api_error',
  internal: 'api_error',
  upstream: 'api_error',
  silent: 'api_error',
  rate: 'rate_limit_error',
  quota: 'rate_limit_error',
  restricted: 'rate_limit_error',
  overloaded: 'overloaded_error',
  account: 'authentication_error',
  denied: 'permission_error',
  forbidden: 'permission_error',
  barred: 'permission_error',
  refused: 'invalid_request_error',
  overflow: 'invalid_request_error',
  answer: 'api_error'
}

/** `{"type":"error","error":{"type","message"[,"details"]}[,"request_id"]}`. */
export const AnthropicErrors: ErrorFormat = {
  requestIdHeaders: ['x-request-id', 'request-id'],
  toStatus: (error) => (error.kind === 'overloaded' ? OverloadedStatus : error.status),
  toHeaders: ({ reached }) => (reached === undefined ? {} : toLimitHeaders(reached)),
  toBody: (error, requestId) =>
    JSON.stringify({
      ...toError(error),
      ...(requestId !== '' && { request_id: requestId })
    }),
  toEvent: (error) => toSseEvent('error', JSON.stringify(toError(error)))
}

function toError(error: GatewayError): object {
  const { details } = error
  return {
    type: 'error',
    error: {
      type: Types[error.kind],
      message: toMessage(error),
      ...(details !== undefined && { details })
    }
  }
}

/** `prompt is too long: N tokens > M maximum. {the upstream's words}` */
function toMessage({ kind, message, overflow, reached }: GatewayError): string {
  if (reached !== undefined) return toLimitMessage(reached)
  const isPrefixed = message.startsWith(OverflowPrefix)
  if (kind !== 'overflow' || isPrefixed) return message
  if (overflow === undefined) return OverflowPrefix + message
  return `${OverflowPrefix}${overflow.tokens} tokens > ${overflow.maximum} maximum. ${message}`
}

import type { ErrorCode, GatewayError } from '../../shared/errors.ts'
import { type ErrorFormat, toSseEvent } from '../answer/sse.ts'

/** Anthropic's status for an overloaded model; its clients wait and come back on this one. */
const OverloadedStatus = 529

/** Its clients start their compaction on a message that begins like this. */
const OverflowPrefix = 'prompt is too long: '

/** Anthropic's `type` of every error (kiro-protocol §8.6). */
const Types: Readonly<Record<ErrorCode, string>> = {
  GW_CONFIG_INVALID: 'api_error',
  GW_KEY_MISSING: 'authentication_error',
  GW_KEY_INVALID: 'authentication_error',
  GW_ROUTE_UNKNOWN: 'not_found_error',
  GW_METHOD_NOT_ALLOWED: 'invalid_request_error',
  GW_UPGRADE_REFUSED: 'invalid_request_error',
  GW_BODY_INVALID: 'invalid_request_error',
  GW_BODY_TOO_LARGE: 'request_too_large',
  GW_BODY_ENCODED: 'invalid_request_error',
  GW_BODY_TIMEOUT: 'invalid_request_error',
  GW_MODEL_UNKNOWN: 'not_found_error',
  GW_CLIENT_CLOSED: 'invalid_request_error',
  GW_CLIENT_STALLED: 'invalid_request_error',
  GW_POOL_TIMEOUT: 'overloaded_error',
  GW_QUEUE_FULL: 'overloaded_error',
  GW_CONNECTIONS_FULL: 'overloaded_error',
  GW_MEMORY_FULL: 'overloaded_error',
  GW_DRAINING: 'overloaded_error',
  GW_PRIMARY_SILENT: 'overloaded_error',
  GW_NOT_READY: 'overloaded_error',
  GW_TRANSFORM_FAILED: 'api_error',
  GW_TRANSFORM_QUEUE_FULL: 'overloaded_error',
  GW_TRANSFORM_TIMEOUT: 'invalid_request_error',
  GW_UPSTREAM_DNS: 'api_error',
  GW_UPSTREAM_CONNECT: 'api_error',
  GW_PROXY_REFUSED: 'api_error',
  GW_UPSTREAM_TLS: 'api_error',
  GW_UPSTREAM_CONNECT_TIMEOUT: 'api_error',
  GW_UPSTREAM_RESET: 'api_error',
  GW_UPSTREAM_HEADERS_TIMEOUT: 'api_error',
  GW_UPSTREAM_IDLE_TIMEOUT: 'api_error',
  GW_UPSTREAM_RATE_LIMITED: 'rate_limit_error',
  GW_UPSTREAM_QUOTA: 'rate_limit_error',
  GW_UPSTREAM_OVERLOADED: 'overloaded_error',
  GW_UPSTREAM_AUTH: 'authentication_error',
  GW_UPSTREAM_SUSPENDED: 'permission_error',
  GW_UPSTREAM_FORBIDDEN: 'permission_error',
  GW_UPSTREAM_REFUSED: 'invalid_request_error',
  GW_CONTEXT_OVERFLOW: 'invalid_request_error',
  GW_UPSTREAM_STATUS: 'api_error',
  GW_FRAME_CORRUPT: 'api_error',
  GW_FRAME_TOO_LARGE: 'api_error',
  GW_STREAM_TRUNCATED: 'api_error',
  GW_ANSWER_INVALID: 'api_error',
  GW_ANSWER_TOO_LARGE: 'api_error',
  GW_INTERNAL: 'api_error'
}

/** `{"type":"error","error":{"type","message"[,"details"]}[,"request_id"]}`. */
export const AnthropicErrors: ErrorFormat = {
  requestIdHeaders: ['x-request-id', 'request-id'],
  toStatus: (error) => (error.code === 'GW_UPSTREAM_OVERLOADED' ? OverloadedStatus : error.status),
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
      type: Types[error.code],
      message: toMessage(error),
      ...(details !== undefined && { details })
    }
  }
}

/** `prompt is too long: N tokens > M maximum. {the upstream's words}` */
function toMessage({ code, message, overflow }: GatewayError): string {
  const isPrefixed = message.startsWith(OverflowPrefix)
  if (code !== 'GW_CONTEXT_OVERFLOW' || isPrefixed) return message
  if (overflow === undefined) return OverflowPrefix + message
  return `${OverflowPrefix}${overflow.tokens} tokens > ${overflow.maximum} maximum. ${message}`
}

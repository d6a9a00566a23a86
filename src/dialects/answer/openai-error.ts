import type { ErrorCode, GatewayError } from '../../shared/errors.ts'
import { type ErrorFormat, toSseData } from './sse.ts'

interface OpenAiWords {
  readonly type: string
  readonly code: string | null
  readonly param?: string
}

/** OpenAI's `type` and `code` of every error (kiro-protocol §8.6). */
const Words: Readonly<Record<ErrorCode, OpenAiWords>> = {
  GW_CONFIG_INVALID: { type: 'server_error', code: 'gw_config_invalid' },
  GW_KEY_MISSING: { type: 'invalid_request_error', code: 'invalid_api_key' },
  GW_KEY_INVALID: { type: 'invalid_request_error', code: 'invalid_api_key' },
  GW_ROUTE_UNKNOWN: { type: 'invalid_request_error', code: 'unknown_url' },
  GW_METHOD_NOT_ALLOWED: { type: 'invalid_request_error', code: 'method_not_allowed' },
  GW_UPGRADE_REFUSED: { type: 'invalid_request_error', code: 'upgrade_refused' },
  GW_BODY_INVALID: { type: 'invalid_request_error', code: null },
  GW_BODY_TOO_LARGE: { type: 'invalid_request_error', code: 'request_too_large' },
  GW_BODY_ENCODED: { type: 'invalid_request_error', code: 'unsupported_media_type' },
  GW_BODY_TIMEOUT: { type: 'invalid_request_error', code: 'request_timeout' },
  GW_MODEL_UNKNOWN: { type: 'invalid_request_error', code: 'model_not_found', param: 'model' },
  GW_CLIENT_CLOSED: { type: 'invalid_request_error', code: 'gw_client_closed' },
  GW_CLIENT_STALLED: { type: 'invalid_request_error', code: 'gw_client_stalled' },
  GW_POOL_TIMEOUT: { type: 'server_error', code: 'gw_pool_timeout' },
  GW_QUEUE_FULL: { type: 'server_error', code: 'gw_queue_full' },
  GW_CONNECTIONS_FULL: { type: 'server_error', code: 'gw_connections_full' },
  GW_MEMORY_FULL: { type: 'server_error', code: 'gw_memory_full' },
  GW_DRAINING: { type: 'server_error', code: 'gw_draining' },
  GW_PRIMARY_SILENT: { type: 'server_error', code: 'gw_primary_silent' },
  GW_NOT_READY: { type: 'server_error', code: 'gw_not_ready' },
  GW_TRANSFORM_FAILED: { type: 'server_error', code: 'gw_transform_failed' },
  GW_TRANSFORM_QUEUE_FULL: { type: 'server_error', code: 'gw_transform_queue_full' },
  GW_TRANSFORM_TIMEOUT: { type: 'invalid_request_error', code: 'gw_transform_timeout' },
  GW_UPSTREAM_DNS: { type: 'server_error', code: 'upstream_error' },
  GW_UPSTREAM_CONNECT: { type: 'server_error', code: 'upstream_error' },
  GW_PROXY_REFUSED: { type: 'server_error', code: 'upstream_error' },
  GW_UPSTREAM_TLS: { type: 'server_error', code: 'upstream_error' },
  GW_UPSTREAM_CONNECT_TIMEOUT: { type: 'server_error', code: 'timeout' },
  GW_UPSTREAM_RESET: { type: 'server_error', code: 'upstream_error' },
  GW_UPSTREAM_HEADERS_TIMEOUT: { type: 'server_error', code: 'timeout' },
  GW_UPSTREAM_IDLE_TIMEOUT: { type: 'server_error', code: 'timeout' },
  GW_UPSTREAM_RATE_LIMITED: { type: 'rate_limit_error', code: 'rate_limit_exceeded' },
  GW_UPSTREAM_QUOTA: { type: 'insufficient_quota', code: 'insufficient_quota' },
  GW_UPSTREAM_OVERLOADED: { type: 'server_error', code: 'overloaded' },
  GW_UPSTREAM_AUTH: { type: 'authentication_error', code: 'upstream_auth_failed' },
  GW_UPSTREAM_SUSPENDED: { type: 'permission_error', code: null },
  GW_UPSTREAM_FORBIDDEN: { type: 'permission_error', code: null },
  GW_UPSTREAM_REFUSED: { type: 'invalid_request_error', code: null },
  GW_CONTEXT_OVERFLOW: {
    type: 'invalid_request_error',
    code: 'context_length_exceeded',
    param: 'messages'
  },
  GW_UPSTREAM_STATUS: { type: 'server_error', code: 'upstream_error' },
  GW_FRAME_CORRUPT: { type: 'server_error', code: 'upstream_error' },
  GW_FRAME_TOO_LARGE: { type: 'server_error', code: 'upstream_error' },
  GW_STREAM_TRUNCATED: { type: 'server_error', code: 'upstream_error' },
  GW_ANSWER_INVALID: { type: 'server_error', code: 'answer_invalid' },
  GW_ANSWER_TOO_LARGE: { type: 'server_error', code: 'answer_too_large' },
  GW_INTERNAL: { type: 'server_error', code: 'internal_error' }
}

/** `{"error":{"message","type","param","code"}}`, for every OpenAI API and the routes of none. */
export const OpenAiErrors: ErrorFormat = {
  requestIdHeaders: ['x-request-id'],
  toStatus: (error) => error.status,
  toBody: (error) => toBody(error),
  toEvent: (error) => toSseData(toBody(error))
}

/** What a client of OpenAI's APIs reads. */
export function toOpenAiMessage(error: GatewayError): string {
  return error.code === 'GW_CONTEXT_OVERFLOW' ? toOverflowMessage(error) : error.message
}

function toBody(error: GatewayError): string {
  const words = Words[error.code]
  const message = toOpenAiMessage(error)
  const param = error.param ?? words.param ?? null
  // Some refusals have a code of their own, which clients know.
  const code = error.details?.['error_code'] ?? words.code
  return JSON.stringify({ error: { message, type: words.type, param, code } })
}

/**
 * Names the vendor's words for it first, with the figures, and the context window before the upstream's reason, if
 * there is one: clients compact the conversation by such words.
 * `Too long. (reason: X)` → `This model's maximum … tokens. Too long and exceeds the … window. (reason: X)`
 */
function toOverflowMessage({ message, overflow }: GatewayError): string {
  const at = message.lastIndexOf(' (reason: ')
  const said = at === -1 ? message : message.slice(0, at)
  const reason = at === -1 ? '' : message.slice(at)
  const sentence = said.endsWith('.') ? said.slice(0, -1) : said
  const figures =
    overflow === undefined
      ? ''
      : `This model's maximum context length is ${overflow.maximum} tokens. ` +
        `However, your messages resulted in ${overflow.tokens} tokens. `
  return `${figures}${sentence} and exceeds the model context window.${reason}`
}

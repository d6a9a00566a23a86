import type { ErrorKind } from '../../shared/error-table.ts'
import type { ErrorCode, GatewayError } from '../../shared/errors.ts'
import { type ErrorFormat, toSseData } from './answer-writer.ts'

/** Spells the gateway's own code as OpenAI does; the second drops the prefix. */
const OwnCode = (code: ErrorCode): string => code.toLowerCase()
const BareCode = (code: ErrorCode): string => OwnCode(code).slice('gw_'.length)

type OpenAiCode = string | null | ((code: ErrorCode) => string)

/** OpenAI's `type` and `code` of every kind of error (kiro-protocol §8.6). */
const Words: Readonly<Record<ErrorKind, readonly [type: string, code: OpenAiCode]>> = {
  key: ['invalid_request_error', 'invalid_api_key'],
  limit: ['insufficient_quota', 'insufficient_quota'],
  often: ['rate_limit_error', 'rate_limit_exceeded'],
  route: ['invalid_request_error', 'unknown_url'],
  missing: ['invalid_request_error', null],
  method: ['invalid_request_error', BareCode],
  conflict: ['invalid_request_error', BareCode],
  stale: ['invalid_request_error', BareCode],
  upgrade: ['invalid_request_error', BareCode],
  request: ['invalid_request_error', null],
  size: ['invalid_request_error', 'request_too_large'],
  encoding: ['invalid_request_error', 'unsupported_media_type'],
  late: ['invalid_request_error', 'request_timeout'],
  costly: ['invalid_request_error', OwnCode],
  model: ['invalid_request_error', 'model_not_found'],
  gone: ['invalid_request_error', OwnCode],
  busy: ['server_error', OwnCode],
  failed: ['server_error', OwnCode],
  internal: ['server_error', 'internal_error'],
  upstream: ['server_error', 'upstream_error'],
  silent: ['server_error', 'timeout'],
  rate: ['rate_limit_error', 'rate_limit_exceeded'],
  quota: ['insufficient_quota', 'insufficient_quota'],
  restricted: ['rate_limit_error', 'account_restricted'],
  overloaded: ['server_error', 'overloaded'],
  account: ['authentication_error', 'upstream_auth_failed'],
  denied: ['permission_error', null],
  forbidden: ['permission_error', null],
  barred: ['permission_error', 'client_not_supported'],
  refused: ['invalid_request_error', null],
  overflow: ['invalid_request_error', 'context_length_exceeded'],
  answer: ['server_error', BareCode]
}

const Params: Readonly<Partial<Record<ErrorKind, string>>> = {
  model: 'model',
  overflow: 'messages'
}

/** `{"error":{"message","type","param","code"}}` */
export const OpenAiErrors: ErrorFormat = {
  requestIdHeaders: ['x-request-id'],
  toStatus: (error) => error.status,
  toBody: (error) => toBody(error),
  toEvent: (error) => toSseData(toBody(error))
}

export function toOpenAiMessage(error: GatewayError): string {
  return error.kind === 'overflow' ? toOverflowMessage(error) : error.message
}

function toBody(error: GatewayError): string {
  const [type, word] = Words[error.kind]
  const message = toOpenAiMessage(error)
  const param = error.param ?? Params[error.kind] ?? null
  const usual = typeof word === 'function' ? word(error.code) : word
  const code = error.details?.['error_code'] ?? usual
  return JSON.stringify({ error: { message, type, param, code } })
}

/**
 * Begins with OpenAI's words and names the context window, because clients compact the conversation when
 * they read these. `Too long. (reason: X)` → `This model's maximum … tokens. Too long and exceeds the …
 * window. (reason: X)`
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

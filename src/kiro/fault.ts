import { type ErrorCode, ErrorTable, GatewayError } from '../shared/errors.ts'
import {
  type FaultBody,
  headerOf,
  type HeaderLookup,
  normalizeType,
  parseFaultBody
} from './fault-body.ts'
import { judgeFault, type Remedy, statusOfType } from './fault-table.ts'
import { cut, redactText, withoutQuotations } from './redact.ts'

/** What is looked at to tell what a refusal means. */
const MAX_READ_CHARS = 2000
/** What clients and logs are told of it. Its longest known message has some 300 characters. */
const MAX_MESSAGE_CHARS = 400
const MAX_RETRY_AFTER_S = 86_400

/** A refusal by the upstream, by HTTP status or inside a stream, and what follows from it. Plain data. */
export interface UpstreamFault {
  readonly code: ErrorCode
  /** For exceptions inside a stream the status they stand for. */
  readonly status: number
  /** Exception name as sent, `''` if none was. */
  readonly type: string
  /**
   * The upstream's message with ` (reason: X)` after it; free of secrets and of what it quotes, bounded, fit for clients
   * and logs.
   */
  readonly message: string
  readonly reason: string | null
  readonly retryAfterS: number | null
  readonly remedy: Remedy
  /** Report the token to the refresher and try once more: not counted as an attempt. */
  readonly isTokenRefused: boolean
  /** The upstream's own id of the call, for its support. */
  readonly requestId: string | null
}

export interface FaultResponse {
  readonly status: number
  /** Names in lower case. */
  readonly headers: HeaderLookup
  /** At most `MAX_FAULT_BODY_BYTES` of it are looked at. */
  readonly body: string
  /** The token the call was made with; never repeated, should the upstream echo it. */
  readonly token?: string
  /** Epoch ms, to read a `retry-after` that is a date. */
  readonly now: number
}

/** An exception or error frame of a stream; `name` is its type or error code. */
export interface FaultException {
  readonly name: string
  readonly message: string
  readonly reason?: string
  readonly token?: string
}

/** Reads a response whose status is not 200. Never throws. */
export function faultOfResponse(response: FaultResponse): UpstreamFault {
  const { status, headers, body, token, now } = response
  return makeFault({
    status,
    body: parseFaultBody(headers, body),
    secrets: token === undefined ? [] : [token],
    retryAfterS: parseRetryAfter(headerOf(headers, 'retry-after'), now),
    requestId: headerOf(headers, 'x-amzn-requestid')
  })
}

/** Reads an exception inside a stream that began with status 200. Never throws. */
export function faultOfException(exception: FaultException): UpstreamFault {
  const { name, message, reason, token } = exception
  return makeFault({
    status: statusOfType(normalizeType(name)),
    body: {
      form: 'json',
      type: name,
      message: message === '' ? null : message,
      reason: reason ?? null
    },
    secrets: token === undefined ? [] : [token],
    retryAfterS: null,
    requestId: null
  })
}

/** The error that the client is answered with; dialects refine status and wording. */
export function toGatewayError(fault: UpstreamFault): GatewayError {
  const { status, type, requestId, remedy } = fault
  const parts = [`upstream status ${status}`]
  if (type !== '') parts.push(`type ${type}`)
  if (requestId !== null) parts.push(`upstream request ${requestId}`)
  if (remedy !== 'none') parts.push(`remedy ${remedy}`)
  return new GatewayError(fault.code, parts.join(', '), {
    message: fault.message,
    ...(fault.retryAfterS === null ? {} : { retryAfterS: fault.retryAfterS })
  })
}

/** Seconds of a `retry-after` header, which is a number or a date; `null` if it is neither. */
export function parseRetryAfter(value: string | null, now: number): number | null {
  if (value === null) return null
  const text = value.trim()
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : (Date.parse(text) - now) / 1000
  if (Number.isNaN(seconds)) return null
  return Math.min(Math.max(Math.ceil(seconds), 0), MAX_RETRY_AFTER_S)
}

interface FaultParts {
  readonly status: number
  readonly body: FaultBody
  readonly secrets: readonly string[]
  readonly retryAfterS: number | null
  readonly requestId: string | null
}

function makeFault({ status, body, secrets, retryAfterS, requestId }: FaultParts): UpstreamFault {
  const clean = (text: string, limit: number): string => redactText(text, limit, secrets)
  const reason = body.reason === null ? null : clean(body.reason, 100)
  const said = body.message === null ? null : clean(body.message, MAX_READ_CHARS)
  const type = clean(body.type ?? '', 100)
  const verdict = judgeFault({
    status,
    type: normalizeType(type),
    reason: reason?.toUpperCase() ?? '',
    text: said?.toLowerCase() ?? '',
    form: body.form
  })
  const message = said === null ? null : cut(withoutQuotations(said), MAX_MESSAGE_CHARS)
  const shown = message ?? describeSilence(status, body.form, verdict.code)
  return {
    ...verdict,
    status,
    type,
    message: reason === null ? shown : `${shown} (reason: ${reason})`,
    reason,
    retryAfterS,
    isTokenRefused: verdict.remedy === 'refresh-token',
    requestId: requestId === null ? null : clean(requestId, 100)
  }
}

function describeSilence(status: number, form: FaultBody['form'], code: ErrorCode): string {
  if (form === 'html') {
    return `The upstream answered HTTP ${status} with a web page: a CDN, firewall or proxy refused the call, not the model service.`
  }
  if (form === 'empty') {
    return `${ErrorTable[code].message} It answered HTTP ${status} without a body.`
  }
  return ErrorTable[code].message
}

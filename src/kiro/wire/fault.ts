import { ErrorTable } from '../../shared/error-table.ts'
import { type ErrorCode, GatewayError } from '../../shared/errors.ts'
import { asJsonObject, type JsonObject, parseJsonObject, textMember } from '../../shared/json.ts'
import type { UpstreamEvent } from './event.ts'
import {
  type Bar,
  type FaultFacts,
  isKnownReason,
  judgeFault,
  namesToken,
  type Remedy,
  statusOfType
} from './fault-table.ts'

const MAX_READ_CHARS = 2000
/** Characters in answers and logs; the longest known message has about 300. */
const MAX_MESSAGE_CHARS = 400
const MAX_RETRY_AFTER_S = 86_400

export interface UpstreamFault {
  readonly code: ErrorCode
  /** Status of the response, or the one that an exception inside a stream stands for. */
  readonly status: number
  readonly type: string
  /** The upstream's message and ` (reason: X)`, bounded, without secrets and quotations; fit for clients and logs. */
  readonly message: string
  readonly reason: string | null
  readonly retryAfterS: number | null
  readonly remedy: Remedy
  /** `null` inside a stream: the next request meets the real status. */
  readonly bar: Bar | null
  /** The token is to be refreshed, and the call repeated without counting as an attempt. */
  readonly isTokenRefused: boolean
  readonly isTokenNamed: boolean
  /** The upstream's id of the call, for its support. */
  readonly requestId: string | null
}

export interface FaultResponse {
  readonly status: number
  readonly headers: HeaderLookup
  readonly body: string
  readonly token?: string
  /** Epoch ms, to read a date in `retry-after`. */
  readonly now: number
}

export function faultOfResponse(response: FaultResponse): UpstreamFault {
  const { status, headers, now, token = '' } = response
  const body = parseFaultBody(headers, response.body)
  return makeFault(status, body, {
    secrets: [token],
    retryAfterS: body.retryAfterS ?? parseRetryAfter(headerOf(headers, 'retry-after'), now),
    requestId: headerOf(headers, 'x-amzn-requestid')
  })
}

export function faultOfException(
  event: Omit<Extract<UpstreamEvent, { type: 'exception' }>, 'type'>
): UpstreamFault {
  const { name, message, reason = null } = event
  const body = { form: 'json', type: name, message: message || null, reason } as const
  const told = { secrets: [], retryAfterS: null, requestId: null }
  return { ...makeFault(statusOfType(normalizeType(name)), body, told), bar: null }
}

/**
 * True if the refusal names the account's quota or rate, or a fault of the request. A rate of the whole
 * service, or of our address, proves nothing.
 */
export function provesCredential(fault: UpstreamFault): boolean {
  const { bar, code, status, type, reason } = fault
  if (fault.isTokenRefused) return false
  if (bar !== null) return bar !== 'rate'
  if (code === 'GW_UPSTREAM_SUSPENDED') return true
  const isJudged =
    normalizeType(type) === 'validation' || (reason !== null && isKnownReason(reason))
  return status === 400 && isJudged
}

/** True for "Improperly formed request." and nothing else: the upstream does not say what is wrong (§4.14). */
export function isUnexplained({
  code,
  reason,
  message
}: Pick<UpstreamFault, 'code' | 'reason' | 'message'>): boolean {
  if (code !== 'GW_UPSTREAM_REFUSED') return false
  return reason === 'REQUEST_BODY_INVALID' || /^improperly formed request/i.test(message)
}

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

/** Seconds; `null` if it is neither a number nor a date. */
export function parseRetryAfter(value: string | null, now: number): number | null {
  if (value === null) return null
  const text = value.trim()
  const seconds = /^\d+(\.\d+)?$/.test(text) ? Number(text) : (Date.parse(text) - now) / 1000
  if (Number.isNaN(seconds)) return null
  return Math.min(Math.max(Math.ceil(seconds), 0), MAX_RETRY_AFTER_S)
}

function makeFault(
  status: number,
  body: Omit<FaultBody, 'retryAfterS'>,
  told: Pick<UpstreamFault, 'retryAfterS' | 'requestId'> & { readonly secrets: readonly string[] }
): UpstreamFault {
  const { secrets, retryAfterS, requestId } = told
  const clean = (text: string, limit: number): string => redactText(text, limit, secrets)
  const reason = body.reason === null ? null : clean(body.reason, 100)
  const said = body.message === null ? null : clean(body.message, MAX_READ_CHARS)
  const type = clean(body.type ?? '', 100)
  const facts: FaultFacts = {
    status,
    type: normalizeType(type),
    reason: reason?.toUpperCase() ?? '',
    text: withoutRefusedValues(said ?? '').toLowerCase(),
    form: body.form
  }
  const verdict = judgeFault(facts)
  const isTokenRefused = verdict.remedy === 'refresh-token'
  const message = said === null ? null : cut(withoutQuotations(said), MAX_MESSAGE_CHARS)
  const shown = message ?? describeSilence(status, body.form, verdict.code)
  return {
    ...verdict,
    status,
    type,
    message: reason === null ? shown : `${shown} (reason: ${reason})`,
    reason,
    retryAfterS,
    isTokenRefused,
    isTokenNamed: isTokenRefused && namesToken(facts),
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

export const MAX_FAULT_BODY_BYTES = 64 * 1024

type HeaderLookup = Readonly<Record<string, string | readonly string[] | undefined>>

interface FaultBody {
  /** `json` has members, `text` is the message itself, `html` comes from a CDN. */
  readonly form: FaultFacts['form']
  /** Exception name as sent, with namespace and suffix. */
  readonly type: string | null
  readonly message: string | null
  readonly reason: string | null
  readonly retryAfterS: number | null
}

export function parseFaultBody(headers: HeaderLookup, body: string): FaultBody {
  const text = body.trim()
  const type = headerOf(headers, 'x-amzn-errortype')
  const silent = { type, message: null, reason: null, retryAfterS: null }
  if (text === '') return { ...silent, form: 'empty' }
  if (text.startsWith('<') || headerOf(headers, 'content-type')?.includes('text/html') === true) {
    return { ...silent, form: 'html' }
  }
  const root = text.length > MAX_FAULT_BODY_BYTES ? null : parseJsonObject(text)
  if (root === null) return { ...silent, form: 'text', message: text }
  const places = [root, asJsonObject(root['error']), asJsonObject(root['Output'])]
  return {
    form: 'json',
    type: type ?? firstText(places, ['__type', 'code']),
    message: firstText(places, ['message', 'Message', 'errorMessage', 'error_description']),
    reason: firstText(places, ['reason']),
    retryAfterS: secondsOf(root['retryAfterMilliseconds'])
  }
}

function secondsOf(ms: unknown): number | null {
  if (typeof ms !== 'number' || !(ms >= 0)) return null
  return Math.min(Math.ceil(ms / 1000), MAX_RETRY_AFTER_S)
}

/** AWS's clients name one shape in several ways: `com.amazon#ThrottlingException:http://…` → `throttling`. */
export function normalizeType(type: string): string {
  const [name = ''] = type.split(':')
  return name
    .slice(name.lastIndexOf('#') + 1)
    .trim()
    .toLowerCase()
    .replace(/(?:error|exception)+$/, '')
}

function headerOf(headers: HeaderLookup, name: string): string | null {
  const value = headers[name]
  if (value === undefined) return null
  return typeof value === 'string' ? value : (value[0] ?? null)
}

function firstText(
  places: readonly (JsonObject | null)[],
  names: readonly string[]
): string | null {
  const texts = places.flatMap((place) => names.map((name) => textMember(place ?? {}, name)))
  return texts.find((text) => text !== null) ?? null
}

/** The upstream's tokens: keys, access and refresh tokens, JWTs, and whatever follows `Bearer`. */
const TOKEN = /\bbearer\s+[\w~+/.=:-]{16,}|\b(?:ksk_|aoa|aor|eyJ)[\w~+/.=:-]{12,}/gi
const LONG_RUN = /[\w+=-]{40,}/g

/** Removes secrets and line breaks. `secrets`: known values, whatever they look like. */
export function redactText(
  text: string,
  maxLength: number,
  secrets: readonly string[] = []
): string {
  let clean = text.slice(0, maxLength * 4) // the text may be a megabyte
  for (const secret of secrets) {
    if (secret !== '') clean = clean.replaceAll(secret, '[secret]')
  }
  clean = clean
    .replace(TOKEN, '[secret]')
    .replace(LONG_RUN, (run) => (looksRandom(run) ? '[secret]' : run))
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim()
  return cut(clean, maxLength)
}

export function cut(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1)}…`
}

/** Tools and models have shorter names; a longer quotation is a user's text. */
const MAX_QUOTED_CHARS = 64

/** AWS's wording: the value is the client's, of any length, and may hold quotation marks. */
const REFUSED_VALUE = /\b(value) '(.*)' at '([\w.[\]-]{1,200})'/gis

/** Like REFUSED_VALUE, in a message that was cut. */
const CUT_VALUE = /\b(value) '.*$/is

/** An apostrophe inside a word opens nothing. */
const OPENING = /["`“„‘]|(?<![\p{L}\p{N}])'/u
const CLOSING: Readonly<Record<string, RegExp>> = {
  '"': /.*"/s,
  '`': /.*`/s,
  '“': /.*[”“]/s,
  '„': /.*[”“]/s,
  '‘': /.*’(?![\p{L}\p{N}])/su,
  "'": /.*'(?![\p{L}\p{N}])/su
}

/**
 * Removes quotations, since some refusals repeat the user's text: up to the last quotation mark of the
 * kind, as the text may hold others, or to the end of a cut message.
 */
export function withoutQuotations(text: string): string {
  let rest = withoutRefusedValues(text)
  let shown = ''
  for (let open = OPENING.exec(rest); open !== null; open = OPENING.exec(rest)) {
    const from = open.index + 1
    const isCut = rest.endsWith('…')
    const closed = isCut ? null : (CLOSING[open[0]]?.exec(rest.slice(from))?.[0] ?? null)
    const to = closed === null ? rest.length : from + closed.length
    const quoted = closed === null ? rest.slice(from) : closed.slice(0, -1)
    const isName = quoted.length <= MAX_QUOTED_CHARS
    shown += isName ? rest.slice(0, to) : rest.slice(0, open.index) + lengthOf(quoted)
    rest = rest.slice(to)
  }
  return shown + rest
}

/** Hides values that AWS names as refused: a client's text must not decide what a refusal means. */
function withoutRefusedValues(text: string): string {
  const rest = text.replace(
    REFUSED_VALUE,
    (_all, word: string, value: string, path: string) => `${word} ${lengthOf(value)} at ${path}`
  )
  return rest.endsWith('…') ? rest.replace(CUT_VALUE, '$1 …') : rest
}

function lengthOf(text: string): string {
  return `‹${text.length} characters›`
}

/** Spares tool names, which are long and must stay readable. */
function looksRandom(run: string): boolean {
  return /\d/.test(run) && /[a-z]/.test(run) && /[A-Z]/.test(run)
}

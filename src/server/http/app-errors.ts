import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import {
  type DialectName,
  dialectOfHeaders,
  toErrorReply,
  USUAL_DIALECT
} from '../../dialects/dialect.ts'
import type { KeyRefusals } from '../../observe/key-refusals.ts'
import type { Logger } from '../../observe/logger.ts'
import type { RefusalLog } from '../../observe/refusal-log.ts'
import { asGatewayError, codeOf, GatewayError } from '../../shared/errors.ts'
import { answerEarly, KNOWN, STRANGER } from '../turn/answer-early.ts'
import { dialectOfPath } from './turn-routes.ts'
import { clientFamilyOf, keyHashOf } from '../worker/turn-record.ts'
import { ANYONE, requestIdOf } from './auth.ts'
import { HEALTH_PATHS } from './read-routes.ts'
import { type RoutedRequest, type Router, routeUnknown, shownPathOf } from './router.ts'

export interface RefusalLogs {
  readonly log: Logger
  readonly unknown: Pick<RefusalLog, 'note'>
  readonly known: Pick<KeyRefusals, 'note'>
}

export function refuse(
  { log, unknown, known }: RefusalLogs,
  { request, response, requestId, keyName, namedKey }: Omit<RoutedRequest, 'params' | 'kiroKey'>,
  cause: unknown
): void {
  const error = asGatewayError(cause)
  const path = shownPathOf(request)
  const facts = {
    request_id: requestId,
    method: request.method,
    path,
    client: clientFamilyOf(request.headers['user-agent']),
    code: error.code,
    reason: error.message
  }
  if (error.code === 'GW_INTERNAL') log.error({ ...facts, err: cause }, 'request failed')
  else if (keyName === '') unknown.note({ ...facts, status: error.status })
  else {
    const keyHash = keyName === ANYONE ? null : keyHashOf(keyName)
    const isTold = known.note({ code: error.code, key: namedKey?.name ?? null, keyHash })
    if (isTold) log.info({ ...facts, status: error.status }, 'request refused')
  }
  if (response.headersSent) return void response.destroy()
  const answer = toErrorReply(dialectOf(request, path), error, requestId)
  answerEarly(request, response, answer, keyName === '' ? STRANGER : KNOWN)
}

export function noSuchRoute(
  router: Router,
  request: IncomingMessage,
  response: ServerResponse
): GatewayError {
  const allowed = router.methodsOf(request, response)
  if (allowed.length === 0) return routeUnknown(request)
  response.setHeader('allow', allowed.join(', '))
  const message = `${shownPathOf(request)} supports ${allowed.join(' and ')}, not ${request.method}.`
  return new GatewayError('GW_METHOD_NOT_ALLOWED', undefined, { message })
}

/** Builds the whole answer to bytes that are not an HTTP request, or an incomplete one: no dialect is known. */
export function describeBadRequest(unknown: Pick<RefusalLog, 'note'>, cause: Error): string {
  const code = codeOf(cause)
  const requestId = requestIdOf(undefined)
  const isLate = code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const isLarge = code === 'HPE_HEADER_OVERFLOW'
  const message = BAD_REQUESTS.get(code) ?? 'The connection did not carry a valid HTTP request.'
  const error = new GatewayError(isLate ? 'GW_BODY_TIMEOUT' : 'GW_BODY_INVALID', code, { message })
  const { status, headers, body } = toErrorReply(USUAL_DIALECT, error, requestId)
  const shownStatus = isLarge ? 431 : status
  unknown.note({
    request_id: requestId,
    status: shownStatus,
    code: error.code,
    reason: message,
    detail: code
  })
  const lines = Object.entries({
    ...headers,
    connection: 'close',
    'content-length': Buffer.byteLength(body)
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${shownStatus} ${STATUS_CODES[shownStatus] ?? ''}\r\n${lines.join('')}\r\n${body}`
}

const BAD_REQUESTS: ReadonlyMap<string, string> = new Map([
  ['HPE_HEADER_OVERFLOW', 'The request headers are too large.'],
  ['ERR_HTTP_REQUEST_TIMEOUT', 'The request headers did not arrive in time.']
])

/** Lets health checks through, or a busy gateway would be restarted. */
export function refuseCrowd(request: IncomingMessage, response: ServerResponse): boolean {
  const path = shownPathOf(request)
  if (HEALTH_PATHS.has(path.replace(/\/+$/, ''))) return false
  const error = new GatewayError('GW_CONNECTIONS_FULL', undefined, { retryAfterS: 1 })
  const requestId = requestIdOf(request.headers['x-request-id'])
  answerEarly(request, response, toErrorReply(dialectOf(request, path), error, requestId))
  return true
}

function dialectOf(request: IncomingMessage, path: string): DialectName {
  return dialectOfPath(path) ?? dialectOfHeaders(request.headers)
}

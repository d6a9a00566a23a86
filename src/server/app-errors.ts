import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { type ErrorDialect, toErrorReply } from '../dialects/error-body.ts'
import type { Logger } from '../observe/logger.ts'
import { GatewayError } from '../shared/errors.ts'
import { answerEarly } from './answer-early.ts'
import { requestIdOf } from './request-id.ts'
import { dialectOfPath } from './routes/answers.ts'

/** Answers and logs a request that no route serves, in the dialect of its path or of its client. */
export function refuse(
  log: Logger,
  request: FastifyRequest,
  reply: FastifyReply,
  cause: unknown
): void {
  const error = toGatewayError(cause)
  const path = pathOf(request)
  const facts = { reqId: request.id, method: request.method, path, code: error.code }
  if (error.code === 'GW_INTERNAL') log.error({ ...facts, err: cause }, 'request failed')
  else log.info({ ...facts, status: error.status }, 'request refused')
  reply.hijack()
  answerEarly(request.raw, reply.raw, toErrorReply(dialectOf(request, path), error, request.id))
}

/** What to say to a request whose path or method is not served; tells `allow` where the path is. */
export function noSuchRoute(
  app: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply
): GatewayError {
  const path = pathOf(request)
  const allowed = METHODS.filter((method) => app.findRoute({ url: path, method }) !== null)
  if (allowed.length === 0) {
    const message = `There is no route ${request.method} ${path}.${hintFor(path)}`
    return new GatewayError('GW_ROUTE_UNKNOWN', undefined, { message })
  }
  reply.raw.setHeader('allow', allowed.join(', '))
  const message = `${path} takes ${allowed.join(' and ')}, not ${request.method}.`
  return new GatewayError('GW_METHOD_NOT_ALLOWED', undefined, { message })
}

/** Bytes that are no HTTP request, or one that never came whole: there is no route, and so no dialect, to speak in. */
export function refuseConnection(log: Logger, cause: Error, socket: Socket): void {
  const code = 'code' in cause ? String(cause.code) : ''
  if (code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const requestId = requestIdOf(undefined)
  const isLate = code === 'ERR_HTTP_REQUEST_TIMEOUT'
  const isLarge = code === 'HPE_HEADER_OVERFLOW'
  const message = isLarge
    ? 'The headers of the request are too large.'
    : isLate
      ? 'The headers of the request did not arrive in time.'
      : 'The connection carried no valid HTTP request.'
  const error = new GatewayError(isLate ? 'GW_BODY_TIMEOUT' : 'GW_BODY_INVALID', code, { message })
  const { status, headers, body } = toErrorReply('openai', error, requestId)
  const shownStatus = isLarge ? 431 : status
  log.info(
    { reqId: requestId, status: shownStatus, code: error.code, detail: code },
    'request refused'
  )
  const lines = Object.entries({
    ...headers,
    connection: 'close',
    'content-length': Buffer.byteLength(body)
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  const statusLine = `HTTP/1.1 ${shownStatus} ${STATUS_CODES[shownStatus] ?? ''}`
  socket.end(`${statusLine}\r\n${lines.join('')}\r\n${body}`)
}

/** Why there is nothing below a path where the vendor has something. */
function hintFor(path: string): string {
  return /^(\/v1)?\/responses\//.test(path)
    ? ' Responses are not kept here, so they can be neither read, changed nor cancelled: send the whole conversation with each request, and an item of type "compaction_trigger" at its end to have it compacted.'
    : ''
}

const METHODS = ['GET', 'POST'] as const
const MAX_PATH_CHARS = 200

function pathOf({ url }: FastifyRequest): string {
  const [path = ''] = url.split('?', 1)
  return path.slice(0, MAX_PATH_CHARS)
}

function dialectOf(request: FastifyRequest, path: string): ErrorDialect {
  const dialect = dialectOfPath(path)
  if (dialect !== null) return dialect
  return request.headers['anthropic-version'] === undefined ? 'openai' : 'anthropic-messages'
}

/** Fastify's own refusals are about the shape of a request. */
function toGatewayError(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  if (isClientError(cause)) {
    return new GatewayError('GW_BODY_INVALID', cause.code, { message: cause.message, cause })
  }
  return new GatewayError('GW_INTERNAL', undefined, { cause })
}

function isClientError(cause: unknown): cause is FastifyError {
  return (
    cause instanceof Error &&
    'statusCode' in cause &&
    typeof cause.statusCode === 'number' &&
    cause.statusCode >= 400 &&
    cause.statusCode < 500
  )
}

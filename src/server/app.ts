import { type FastifyError, fastify, type FastifyInstance, type FastifyReply } from 'fastify'
import type { FastifyRequest } from 'fastify'
import { type ErrorDialect, toErrorReply } from '../dialects/error-body.ts'
import type { ClusterStatus } from '../ipc/messages.ts'
import type { Logger } from '../observe/logger.ts'
import { GatewayError } from '../shared/errors.ts'
import type { Authenticator } from './auth.ts'
import type { DataPlane } from './data-plane.ts'
import { discardBody } from './request-body.ts'
import { requestIdOf } from './request-id.ts'
import { answerRoutes, dialectOfPath } from './routes/answers.ts'
import { healthRoutes } from './routes/health.ts'
import { metricsRoute } from './routes/metrics.ts'
import { modelRoutes } from './routes/models.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Short name of the client's key. */
    keyName: string
  }
  interface FastifyContextConfig {
    /** Served without a key. */
    isOpen?: boolean
  }
}

export interface AppOptions {
  readonly plane: DataPlane
  readonly log: Logger
  readonly authenticator: () => Authenticator
  readonly clusterStatus: () => ClusterStatus | null
  /** The metrics of the whole cluster in Prometheus' text format. */
  readonly metricsText: () => Promise<string>
}

/** The HTTP side of a worker: routes, keys, request ids, and every error in the dialect of its route. */
export function createApp(options: AppOptions): FastifyInstance {
  const { plane, log, authenticator, clusterStatus, metricsText } = options
  const app = fastify({
    logger: false, // a turn logs its own line; fastify would make a child logger for each request
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    forceCloseConnections: false,
    keepAliveTimeout: 65_000, // longer than the minute that proxies in front keep theirs
    requestTimeout: 0, // the body has a deadline of its own, which tells the client what happened
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, maxParamLength: 200 }
  })
  app.decorateRequest('keyName', '')
  // Bodies are read by who needs them, after there is memory for them.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.addHook('onRequest', (request, reply, done) => {
    const { raw } = reply
    raw.setHeader('x-request-id', request.id)
    raw.setHeader('request-id', request.id)
    if (plane.isSimulated) raw.setHeader('x-kiro-gateway-upstream', 'simulator')
    if (!request.is404 && request.routeOptions.config.isOpen !== true) {
      request.keyName = authenticator().check(request.raw.headers).keyName
    }
    done()
  })
  app.setErrorHandler((error, request, reply) => {
    const known = toGatewayError(error)
    if (known.code === 'GW_INTERNAL') log.error({ reqId: request.id, err: error }, 'request failed')
    else logRefusal(log, request, known)
    sendError(request, reply, known)
    discardBody(request.raw)
  })
  app.setNotFoundHandler((request, reply) => {
    const error = noSuchRoute(app, request, reply)
    logRefusal(log, request, error)
    sendError(request, reply, error)
    discardBody(request.raw)
  })
  answerRoutes(app, plane, log)
  modelRoutes(app, plane)
  healthRoutes(app, plane, clusterStatus)
  metricsRoute(app, metricsText)
  return app
}

const METHODS = ['GET', 'POST'] as const

function noSuchRoute(app: FastifyInstance, request: FastifyRequest, reply: FastifyReply) {
  const [path = ''] = request.url.split('?', 1)
  const allowed = METHODS.filter((method) => app.findRoute({ url: path, method }) !== null)
  if (allowed.length === 0) {
    const message = `There is no route ${request.method} ${path.slice(0, 200)}.`
    return new GatewayError('GW_ROUTE_UNKNOWN', undefined, { message })
  }
  reply.raw.setHeader('allow', allowed.join(', '))
  const message = `${path.slice(0, 200)} takes ${allowed.join(' and ')}, not ${request.method}.`
  return new GatewayError('GW_METHOD_NOT_ALLOWED', undefined, { message })
}

function sendError(request: FastifyRequest, reply: FastifyReply, error: GatewayError): void {
  const { status, headers, body } = toErrorReply(dialectOf(request), error, request.id)
  void reply.code(status).headers(headers).send(body) // sent by fastify; nothing to wait for
}

/** The dialect of the route, or for unknown ones that of the client. */
function dialectOf(request: FastifyRequest): ErrorDialect {
  const [path = ''] = request.url.split('?', 1)
  const dialect = dialectOfPath(path)
  if (dialect !== null) return dialect
  return request.headers['anthropic-version'] === undefined ? 'openai' : 'anthropic-messages'
}

function logRefusal(log: Logger, request: FastifyRequest, error: GatewayError): void {
  const { method, url, id } = request
  const [path = ''] = url.split('?', 1)
  log.info(
    { reqId: id, method, path: path.slice(0, 200), status: error.status, code: error.code },
    'request refused'
  )
}

/** Fastify's own refusals are about the shape of a request. */
function toGatewayError(error: unknown): GatewayError {
  if (error instanceof GatewayError) return error
  if (isClientError(error)) {
    return new GatewayError('GW_BODY_INVALID', error.code, { message: error.message, cause: error })
  }
  return new GatewayError('GW_INTERNAL', undefined, { cause: error })
}

function isClientError(error: unknown): error is FastifyError {
  return (
    error instanceof Error &&
    'statusCode' in error &&
    typeof error.statusCode === 'number' &&
    error.statusCode >= 400 &&
    error.statusCode < 500
  )
}

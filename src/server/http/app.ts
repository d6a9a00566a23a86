import type { IncomingMessage } from 'node:http'
import { fastify, type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { ClusterStatus } from '../../ipc/messages.ts'
import type { AccountUsage } from '../../kiro/wire/account-usage.ts'
import type { Logger } from '../../observe/logger.ts'
import type { RefusalLog } from '../../observe/refusal-log.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import { discardRest } from '../turn/answer-early.ts'
import { answerRoutes } from './answer-routes.ts'
import { noSuchRoute, refuse } from './app-errors.ts'
import { type Authenticator, refuseWebSocket, requestIdOf } from './auth.ts'
import type { ClientConnections } from './connections.ts'
import { countTokensRoutes, lintRoute } from './local-routes.ts'
import { modelRoutes } from './model-routes.ts'
import { healthRoutes, metricsRoute, usageRoute } from './read-routes.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** Name of the client's key. */
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
  /** For requests without a key. */
  readonly refusals: Pick<RefusalLog, 'note'>
  readonly connections: ClientConnections
  readonly authenticator: () => Authenticator
  readonly clusterStatus: () => ClusterStatus | null
  readonly isPrimarySilent: () => boolean
  /** The metrics of the whole cluster in Prometheus' text format. */
  readonly metricsText: () => Promise<string>
  readonly accountUsage: () => Promise<AccountUsage>
}

/** The HTTP side of a worker: routes, keys, request ids, and every error in the dialect of its route. */
export function createApp(options: AppOptions): FastifyInstance {
  const { plane, log, connections, authenticator } = options
  const logs = { log, unknown: options.refusals }
  const app = fastify({
    logger: false, // a turn logs its own line; fastify would make a child logger for each request
    genReqId: (request) => requestIdOf(request.headers['x-request-id']),
    forceCloseConnections: false,
    serverFactory: (handler) => connections.createServer(handler),
    frameworkErrors: (error, request, reply) => {
      name(request, reply, plane)
      refuse(logs, request, reply, error)
    },
    clientErrorHandler: () => {}, // `connections` answers
    schemaController: { compilersFactory: NO_COMPILERS },
    routerOptions: { ignoreTrailingSlash: true, ignoreDuplicateSlashes: true, maxParamLength: 200 }
  })
  app.decorateRequest('keyName', '')
  // Bodies are read by who needs them, after there is memory for them.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', (_request, _payload, done) => done(null))
  app.addHook('onRequest', (request, reply, done) => {
    name(request, reply, plane)
    refuseWithoutHost(request.raw)
    refuseWebSocket(request.raw, reply.raw)
    // Bodies are bytes here, whatever their client calls them; an empty name would be refused.
    if (request.method === 'POST') request.raw.headers['content-type'] = 'application/json'
    if (!request.is404 && request.routeOptions.config.isOpen !== true) {
      request.keyName = authenticator().check(request.raw.headers).keyName
      connections.vouch(request.raw.socket)
    }
    done()
  })
  app.addHook('onResponse', ({ raw }, _reply, done) => {
    if (!raw.complete && !raw.destroyed) discardRest(raw, () => {}) // no route that fastify answers reads a body
    done()
  })
  app.setErrorHandler((error, request, reply) => refuse(logs, request, reply, error))
  app.setNotFoundHandler((request, reply) => {
    refuse(logs, request, reply, noSuchRoute(app, request, reply))
  })
  answerRoutes(app, plane, log)
  countTokensRoutes(app, plane, log)
  lintRoute(app, plane, log)
  modelRoutes(app, plane)
  healthRoutes(app, plane, options)
  metricsRoute(app, options.metricsText)
  usageRoute(app, options.accountUsage)
  return app
}

/** No route has a schema for fastify to compile; without these it would load two compilers, 5 MB in every worker. */
const NO_COMPILERS = { buildValidator: refuseSchema, buildSerializer: refuseSchema } as const

function refuseSchema(): never {
  throw new Error('bodies are checked by their dialect, not by fastify')
}

/** RFC 9112 §3.2. Node would answer it itself, in no dialect. */
function refuseWithoutHost({ headers, httpVersion }: IncomingMessage): void {
  if (headers.host !== undefined || httpVersion !== '1.1') return
  const message = 'An HTTP/1.1 request needs a Host header.'
  throw new GatewayError('GW_BODY_INVALID', undefined, { message })
}

/** The headers of every answer. */
function name(request: FastifyRequest, { raw }: FastifyReply, plane: DataPlane): void {
  raw.setHeader('x-request-id', request.id)
  raw.setHeader('request-id', request.id)
  // While it drains, a client keeps its connection until a request of it is refused.
  if (plane.isLeaving() && !plane.isDraining()) raw.setHeader('connection', 'close')
  if (plane.isSimulated) raw.setHeader('x-kiro-gateway-upstream', 'simulator')
}

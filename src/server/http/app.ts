import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { invalidBody } from '../../dialects/plan/json-body.ts'
import type { Logger } from '../../observe/logger.ts'
import type { NamedKey } from '../../keys/key.ts'
import type { RefusalLog } from '../../observe/refusal-log.ts'
import { codeOf, GatewayError } from '../../shared/errors.ts'
import { PacedRequest } from '../body/request-body.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import { PassthroughKeys } from './passthrough-keys.ts'
import { noSuchRoute, refuse } from './app-errors.ts'
import {
  type ClientKey,
  hasLostUpgrade,
  type KiroKey,
  requestIdOf,
  wantsWebSocket
} from './auth.ts'
import type { ClientConnections } from './connections.ts'
import { dashboardRoutes, type PageParts } from './dashboard-routes.ts'
import { clientRoutes } from './client-routes.ts'
import { descriptionRoutes } from './description-routes.ts'
import { docRoutes } from './doc-routes.ts'
import { modelRoutes } from './model-routes.ts'
import { PanelUsers } from './panel-users.ts'
import { oauthRoutes } from './oauth-routes.ts'
import { panelRoutes } from './panel-routes.ts'
import { healthRoutes, metricsRoute, type Sources, usageRoutes } from './read-routes.ts'
import { type Route, Router } from './router.ts'
import { standingRoute } from './standing-route.ts'
import { KeyLines } from '../socket/key-lines.ts'
import type { ResponsesSockets } from '../socket/responses-sockets.ts'
import { socketRouteOf } from './socket-routes.ts'
import { storedRoutes } from './stored-routes.ts'
import { turnRoutes } from './turn-routes.ts'

export interface AppOptions extends Sources {
  readonly plane: DataPlane
  readonly log: Logger
  readonly refusals: Pick<RefusalLog, 'note'>
  readonly connections: Pick<ClientConnections, 'becomeWebSocket' | 'handshakeOf' | 'vouch'>
  readonly sockets: ResponsesSockets
  readonly current: Sources['current'] & PageParts['current']
  readonly dashboard: Pick<PageParts, 'pages' | 'sessions' | 'endSession'>
}

export function createApp(options: AppOptions): RequestListener {
  const { plane, log, connections, current, primary } = options
  const keys = new PassthroughKeys(plane, log, (socket) => connections.vouch(socket))
  const users = new PanelUsers(options.dashboard.sessions, current)
  const { sockets } = options
  const lines = new KeyLines()
  const socketParts = { plane, keys, log, sockets, lines, connections, current }
  const logs = { log, unknown: options.refusals, known: plane.refusals }
  const parts = { ...options.dashboard, users, primary, connections, log, current }
  const pages = [...dashboardRoutes(parts), ...panelRoutes(parts), ...oauthRoutes(parts)]
  const router = new Router([...routesOf(options, keys), ...pages])
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const requestId = requestIdOf(request.headers['x-request-id'])
    let keyName = ''
    let namedKey: NamedKey | null = null
    let kiroKey: KiroKey | null = null
    try {
      setHeaders(response, requestId, plane)
      refuseWithoutHost(request)
      const isHandshake = wantsWebSocket(request) || hasLostUpgrade(request)
      const match = isHandshake
        ? { route: socketRouteOf(socketParts, request, response), params: {} }
        : router.find(request, response)
      if (match === null) throw noSuchRoute(router, request, response)
      const { route, params } = match
      if (route.isForSignedIn === true && users.isKnown(request)) connections.vouch(request.socket)
      else if (route.isOpen !== true) {
        const { headers } = request
        const isOperators = route.isOperators === true
        kiroKey = isOperators ? null : current.authenticator.kiroKeyOf(headers)
        const isPage = headers['x-csrf-token'] !== undefined && !isOperators && kiroKey === null
        const page = isPage ? users.client(request) : null
        const own = kiroKey === null ? (page ?? checkKey(current, route, request)) : null
        keyName = kiroKey?.name ?? own?.name ?? ''
        namedKey = own?.named ?? null
        // Any text may look like a Kiro key.
        if (kiroKey === null || keys.isAccepted(kiroKey)) connections.vouch(request.socket)
        else if (route.isForSignedIn === true)
          throw new GatewayError('GW_KEY_INVALID', undefined, ACCEPTED_FIRST)
        // A Kiro key that the upstream has not seen yet comes with its first request.
        else if (request instanceof PacedRequest) request.hasKey = true
        if (namedKey !== null && route.isOperators === true)
          throw new GatewayError('GW_OPERATOR_ONLY')
      }
      await route.serve({ request, response, requestId, keyName, namedKey, kiroKey, params })
    } catch (cause) {
      refuse(logs, { request, response, requestId, keyName, namedKey }, cause)
    }
  }
  return (request, response) => void serve(request, response) // cannot reject
}

function checkKey(
  { authenticator, config }: AppOptions['current'],
  route: Route,
  { headers }: IncomingMessage
): ClientKey {
  if (route.isForMetrics === true) return authenticator.checkMetrics(headers)
  try {
    return authenticator.check(headers)
  } catch (cause) {
    const canSignIn = authenticator.operatorDigests.length > 0 && config.observe.dashboard !== 'off'
    const isPage = route.isForSignedIn === true && canSignIn
    if (!isPage || codeOf(cause) !== 'GW_KEY_MISSING') throw cause
    throw new GatewayError('GW_KEY_MISSING', undefined, SIGN_IN_FIRST)
  }
}

const SIGN_IN_FIRST = {
  message:
    'This page needs an API key. In a browser, sign in to the dashboard at / first. Programs send "Authorization: Bearer <key>" or "x-api-key: <key>". Its text is also public: https://github.com/kiro-gateway/kiro-gateway/blob/main/docs/README.md'
}

const ACCEPTED_FIRST = {
  message:
    'This page is open only to Kiro API keys that the upstream has accepted. First call a model or GET /v1/models with this key.'
}

export function routesOf(
  options: Sources & Pick<AppOptions, 'plane' | 'log' | 'current'>,
  keys: PassthroughKeys
): readonly Route[] {
  const { plane, log, primary } = options
  return [
    ...turnRoutes({ plane, keys, log }),
    ...storedRoutes({ plane, keys, log }),
    ...modelRoutes(plane, keys),
    ...healthRoutes(plane, options),
    metricsRoute(options),
    ...usageRoutes(plane, primary, keys),
    standingRoute(plane, primary),
    ...clientRoutes({ plane, keys }),
    ...descriptionRoutes(options.current),
    ...docRoutes()
  ]
}

/** RFC 9112 §3.2; Node's own answer would have no dialect. */
function refuseWithoutHost({ headers, httpVersion }: IncomingMessage): void {
  if (headers.host !== undefined || httpVersion !== '1.1') return
  throw invalidBody('An HTTP/1.1 request needs a Host header.')
}

function setHeaders(
  response: ServerResponse,
  requestId: string,
  plane: Pick<DataPlane, 'life' | 'isSimulated'>
): void {
  response.setHeader('x-request-id', requestId)
  response.setHeader('request-id', requestId)
  // While draining, a client keeps its connection until one of its requests is refused.
  if (plane.life.isLeaving && plane.life.state !== 'draining')
    response.setHeader('connection', 'close')
  if (plane.isSimulated) response.setHeader('x-kiro-gateway-upstream', 'simulator')
}

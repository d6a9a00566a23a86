import type { Sessions } from '../../dashboard/session.ts'
import type { EndedSession } from '../../ipc/dashboard.ts'
import type { KnownKeys } from '../../keys/key.ts'
import type { Logger } from '../../observe/logger.ts'
import { loadOnce } from '../../shared/single-flight.ts'
import type { DashboardPages } from './dashboard-pages.ts'
import type { ClientConnections } from './connections.ts'
import type { DashboardServer } from './dashboard-server.ts'
import type { DevicePages } from './device-pages.ts'
import { DEVICE_PATH, isDeviceSignInOff, type OAuthOptions } from './oauth-routes.ts'
import type { PanelUsers } from './panel-users.ts'
import { type Route, type RoutedRequest, routeUnknown } from './router.ts'

/** Parts of a worker that the dashboard, its API and the page `/device` use. */
export interface PageParts extends OAuthOptions {
  readonly pages: DashboardPages
  readonly sessions: Sessions
  readonly users: PanelUsers
  /** Resolves when all other workers know, too. @throws {GatewayError} GW_PRIMARY_SILENT */
  readonly endSession: (session: EndedSession) => Promise<void>
  readonly connections: Pick<ClientConnections, 'vouch'>
  readonly log: Pick<Logger, 'info' | 'error'>
  readonly current: OAuthOptions['current'] & { readonly knownKeys: KnownKeys }
}

/** Files are public, as they contain no data. The dashboard's code is loaded on first use. */
export function dashboardRoutes(options: PageParts): readonly Route[] {
  const load = loadOnce(async () => {
    const { DashboardServer } = await import('./dashboard-server.ts')
    return new DashboardServer(options)
  })
  const route = (
    method: Route['method'],
    path: string,
    act: (server: DashboardServer, routed: RoutedRequest) => Promise<void> | void
  ): Route => ({
    method,
    path,
    isOpen: true, // asks for a session itself
    isForSignedIn: true, // a client with one is not a stranger
    serve: async (routed) => {
      if (options.current.config.observe.dashboard === 'off')
        throw routeUnknown(routed.request, 'DASHBOARD=off')
      await act(await load(), routed)
    }
  })
  const devices = (
    method: Route['method'],
    act: (pages: DevicePages, routed: RoutedRequest) => Promise<void>
  ): Route => ({
    method,
    path: DEVICE_PATH,
    isOpen: true, // finds out itself who asks
    isOff: () => isDeviceSignInOff(options.current.config),
    serve: async (routed) => act((await load()).devices, routed)
  })
  return [
    devices('GET', (pages, routed) => pages.show(routed)),
    devices('POST', (pages, routed) => pages.act(routed)),
    route('GET', '/', (server, routed) => server.file(routed, 'index.html')),
    route('GET', '/dashboard/session', (server, routed) => server.session(routed)),
    route('POST', '/dashboard/session', (server, routed) => server.signIn(routed)),
    route('DELETE', '/dashboard/session', (server, routed) => server.signOut(routed)),
    route('GET', '/dashboard/events', (server, routed) => server.events(routed)),
    route('GET', '/dashboard/oidc', (server, routed) => server.oidc.begin(routed)),
    route('GET', '/dashboard/oidc/callback', (server, routed) => server.oidc.finish(routed)),
    route('GET', '/dashboard/oidc/sign-out', (server, routed) => server.oidc.signOut(routed)),
    route('GET', '/dashboard/*', (server, routed) => server.file(routed, routed.params['*'] ?? ''))
  ]
}

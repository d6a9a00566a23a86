import type { Config } from '../../config/settings.ts'
import type { AccessCheck } from '../../devices/access-check.ts'
import { loadOnce } from '../../shared/single-flight.ts'
import type { PrimaryPulse } from '../primary/primary-pulse.ts'
import type { Authenticator } from './auth.ts'
import type { OAuthServer } from './oauth-server.ts'
import type { Route, RoutedRequest } from './router.ts'

export interface OAuthOptions {
  readonly primary: Pick<PrimaryPulse, 'ask'>
  /** Latest messages of the primary. Changes in place. */
  readonly current: {
    readonly config: Config
    readonly authenticator: Authenticator
    readonly devices: Pick<AccessCheck, 'secret'>
  }
}

export const OAUTH_PATHS = {
  metadata: '/.well-known/oauth-authorization-server',
  deviceAuthorization: '/oauth/device_authorization',
  token: '/oauth/token',
  revoke: '/oauth/revoke'
} as const

/** Page on which people enter the code of a device. */
export const DEVICE_PATH = '/device'

export function isDeviceSignInOff({ devices }: Config): boolean {
  return devices.signIn === 'off'
}

/** The sign-in of devices: RFC 8414, 8628 and 7009. Its code is loaded on first use. */
export function oauthRoutes(options: OAuthOptions): readonly Route[] {
  const load = loadOnce(async () => {
    const { OAuthServer } = await import('./oauth-server.ts')
    return new OAuthServer(options)
  })
  const route = (
    method: Route['method'],
    path: string,
    act: (server: OAuthServer, routed: RoutedRequest) => Promise<void> | void
  ): Route => ({
    method,
    path,
    isOpen: true, // the client has no key yet
    isOff: () => isDeviceSignInOff(options.current.config),
    serve: async (routed) => act(await load(), routed)
  })
  const { metadata, deviceAuthorization, token, revoke } = OAUTH_PATHS
  return [
    route('GET', metadata, (server, routed) => server.metadata(routed)),
    route('POST', deviceAuthorization, (server, routed) => server.authorizeDevice(routed)),
    route('POST', token, (server, routed) => server.token(routed)),
    route('POST', revoke, (server, routed) => server.revoke(routed))
  ]
}

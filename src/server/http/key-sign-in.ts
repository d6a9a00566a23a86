import type { IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import type { Session } from '../../dashboard/session.ts'
import type { SignInTries } from '../../dashboard/sign-in-tries.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { PageParts } from './dashboard-routes.ts'
import { clientAddress, isSecure } from './own-page.ts'

/**
 * Delay of each try beyond an address's limit, right key or wrong. All people behind a proxy share an
 * address, so a right key is accepted anyway; a connection can try one key a second.
 */
const HOLD_MS = 1_000

/**
 * Begins a session for a person who has entered a key, and returns it with its cookie.
 * @throws {GatewayError} GW_SIGN_IN_OFTEN, GW_KEY_INVALID, GW_KEY_EXPIRED, GW_KEY_REVOKED
 */
export async function signInByKey(
  { sessions, current }: Pick<PageParts, 'sessions' | 'current'>,
  tries: SignInTries,
  { request, key }: { readonly request: IncomingMessage; readonly key: string }
): Promise<Session & { readonly cookie: string }> {
  const address = clientAddress(request, current.config.server)
  const waitMs = tries.take(address)
  if (waitMs > 0) await delay(HOLD_MS)
  const own = current.authenticator.sessionKeyOf(key) // which may have changed meanwhile
  if (own === null) {
    const retryAfterS = Math.ceil(waitMs / 1000)
    if (waitMs > 0) throw new GatewayError('GW_SIGN_IN_OFTEN', address, { retryAfterS })
    current.authenticator.check({ 'x-api-key': key }) // says what is wrong with it
    throw new GatewayError('GW_KEY_INVALID')
  }
  if (waitMs === 0) tries.succeeded(address)
  return sessions.begin(own.subject, own.digest, isSecure(request.headers))
}

import { operatorError } from '../../shared/errors.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'
import {
  type GatewaySignIn,
  lockGatewaySignIn,
  readGatewaySignIn,
  writeGatewaySignIn
} from './sign-in-file.ts'

/** Clients keep a token for some minutes before they ask for another: Claude Code and Codex for five. */
const LEAST_LEFT_MS = 15 * 60_000

/** Opens the way to a gateway. */
export type OpenWay = (url: string) => Promise<AsyncDisposable & { readonly call: JsonCall }>

/**
 * Returns the sign-in with an access token that lasts a while, renewed if need be.
 * @throws {GatewayError} GW_CONFIG_INVALID if there is no sign-in, or it has ended; the signal's reason
 */
export async function freshSignIn(
  path: string,
  openWay: OpenWay,
  signal: AbortSignal
): Promise<GatewaySignIn> {
  const known = await signInAt(path)
  if (isFresh(known)) return known
  const lock = await lockGatewaySignIn(path, signal)
  try {
    const current = await signInAt(path) // which another process may have renewed meanwhile
    return isFresh(current) ? current : await renewed(path, current, openWay)
  } finally {
    await lock.release()
  }
}

async function renewed(
  path: string,
  signIn: GatewaySignIn,
  openWay: OpenWay
): Promise<GatewaySignIn> {
  const { GatewayOAuth, SignedOut } = await import('./gateway-oauth.ts')
  await using way = await openWay(signIn.gateway)
  const oauth = await GatewayOAuth.find(signIn.gateway, way.call)
  try {
    const next = { ...signIn, ...(await oauth.refresh(signIn.refreshToken)) }
    await writeGatewaySignIn(path, next)
    return next
  } catch (cause) {
    if (!(cause instanceof SignedOut)) throw cause
    throw operatorError(
      `This machine is no longer signed in at ${signIn.gateway}: ${cause.message} Sign in again: kiro-gateway login --gateway ${signIn.gateway}`,
      cause
    )
  }
}

async function signInAt(path: string): Promise<GatewaySignIn> {
  const signIn = await readGatewaySignIn(path)
  if (signIn !== null) return signIn
  throw operatorError(
    `There is no sign-in at a gateway in ${path}. Sign in with: kiro-gateway login --gateway URL`
  )
}

function isFresh({ expiresAt }: GatewaySignIn): boolean {
  return expiresAt - Date.now() > LEAST_LEFT_MS
}

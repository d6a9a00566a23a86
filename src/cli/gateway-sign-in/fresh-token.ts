import { operatorError } from '../../shared/errors.ts'
import type { NetworkSettings } from '../network.ts'
import {
  type GatewaySignIn,
  lockGatewaySignIn,
  readGatewaySignIn,
  writeGatewaySignIn
} from './sign-in-file.ts'

/** Clients keep a token for some minutes before they ask for another: Claude Code and Codex for five. */
const LEAST_LEFT_MS = 15 * 60_000

/**
 * Returns the sign-in with an access token that lasts a while, renewed if need be.
 * @throws {GatewayError} GW_CONFIG_INVALID if there is no sign-in, or it has ended; the signal's reason
 */
export async function freshSignIn(
  path: string,
  config: NetworkSettings,
  signal: AbortSignal
): Promise<GatewaySignIn> {
  const known = await signInAt(path)
  if (isFresh(known)) return known
  const lock = await lockGatewaySignIn(path, signal)
  try {
    const current = await signInAt(path) // which another process may have renewed meanwhile
    return isFresh(current) ? current : await renewed(path, current, config)
  } finally {
    await lock.release()
  }
}

async function renewed(
  path: string,
  signIn: GatewaySignIn,
  config: NetworkSettings
): Promise<GatewaySignIn> {
  const { GatewayOAuth, SignedOut } = await import('./gateway-oauth.ts')
  const { networkTo } = await import('./network-to.ts')
  await using network = networkTo(signIn.gateway, config)
  const oauth = await GatewayOAuth.find(signIn.gateway, network.call)
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

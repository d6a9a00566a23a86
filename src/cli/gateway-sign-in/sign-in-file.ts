import { readFile, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { codeOf, operatorError } from '../../shared/errors.ts'
import { FileLock, type HeldLock, LOCK_PATIENCE_MS, lockPathOf } from '../../shared/file-lock.ts'
import { parseJsonObject, textMember } from '../../shared/json.ts'
import { makeFolder, replaceFile } from '../../shared/private-files.ts'
import type { GatewayTokens } from './gateway-oauth.ts'

/**
 * Sign-in of this machine at another gateway, by `kiro-gateway login --gateway`; readable by its owner alone.
 *
 * ```json
 * {
 *   "gateway": "https://gateway.example.com",
 *   "accessToken": "kgt_…", "refreshToken": "kgr_…",
 *   "expiresAt": "2026-09-01T00:59:00.000Z"
 * }
 * ```
 */
export interface GatewaySignIn extends GatewayTokens {
  /** Address of the gateway, without a slash at the end. */
  readonly gateway: string
}

export function gatewaySignInPath(stateDir: string): string {
  return resolve(join(stateDir, 'gateway-sign-in.json'))
}

/** `null` if there is none. @throws {GatewayError} GW_CONFIG_INVALID for a file that cannot be read */
export async function readGatewaySignIn(path: string): Promise<GatewaySignIn | null> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return null
    throw operatorError(`${path} cannot be read (${codeOf(cause)}).`, cause)
  }
  const file = parseJsonObject(text) ?? {}
  const [gateway, accessToken] = [textMember(file, 'gateway'), textMember(file, 'accessToken')]
  const refreshToken = textMember(file, 'refreshToken')
  const expiresAt = Date.parse(textMember(file, 'expiresAt') ?? '')
  if (gateway === null || accessToken === null || refreshToken === null || !(expiresAt > 0))
    throw operatorError(
      `${path} is not a sign-in at a gateway. Sign in again: kiro-gateway login --gateway URL`
    )
  return { gateway, accessToken, refreshToken, expiresAt }
}

/** Resolves once it is on disk. @throws {GatewayError} GW_CONFIG_INVALID */
export async function writeGatewaySignIn(path: string, signIn: GatewaySignIn): Promise<void> {
  const { expiresAt, ...same } = signIn
  const file = { ...same, expiresAt: new Date(expiresAt).toISOString() }
  try {
    await makeFolder(resolve(path, '..'))
    const text = `${JSON.stringify(file, null, 2)}\n`
    await replaceFile(path, { text, mode: 0o600, isDurable: true })
  } catch (cause) {
    throw operatorError(
      `${path} cannot be written (${codeOf(cause)}), so the sign-in is lost. Make the folder writable, and sign in again.`,
      cause
    )
  }
}

/** Returns false if there was none. */
export async function removeGatewaySignIn(path: string): Promise<boolean> {
  try {
    await unlink(path)
    return true
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return false
    throw operatorError(`${path} cannot be removed (${codeOf(cause)}).`, cause)
  }
}

/**
 * Takes the right to renew the sign-in: a refresh token that is used twice ends it.
 * @throws {GatewayError} GW_CONFIG_INVALID; the signal's reason
 */
export async function lockGatewaySignIn(path: string, signal: AbortSignal): Promise<HeldLock> {
  const lockPath = lockPathOf(path)
  const note = 'kiro-gateway renews its sign-in at a gateway'
  const patience = AbortSignal.any([signal, AbortSignal.timeout(LOCK_PATIENCE_MS)])
  const lock = await new FileLock({ path: lockPath, fallbackPath: lockPath, note })
    .acquire(patience)
    .catch((cause: unknown) => {
      signal.throwIfAborted()
      throw operatorError(`Another program is renewing ${path}. Try again.`, cause)
    })
  if (lock === null) throw operatorError(`${path} cannot be renewed: its folder is not writable.`)
  return lock
}

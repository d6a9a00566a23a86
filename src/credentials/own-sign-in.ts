import { access, constants, lstat, unlink } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Logger } from '../observe/logger.ts'
import { codeOf, operatorError, type GatewayError } from '../shared/errors.ts'
import { makeFolder, replaceFile } from '../shared/private-files.ts'
import { ideFileSource } from './ide-file.ts'
import { type CredentialSource, NO_TOKENS, type StoredCredential } from './stored-credential.ts'

/**
 * Sign-in made by `kiro-gateway login`, with the members of the Kiro IDE's token file, so that one reader suffices.
 *
 * ```json
 * {
 *   "authMethod": "social",                       // or "IdC", "builder-id", "external_idp"
 *   "provider": "Google",                         // or "Github", "BuilderId", "Enterprise"; shown to people only
 *   "accessToken": "…", "refreshToken": "…",
 *   "expiresAt": "2026-09-01T00:59:00.000Z",
 *   "issuedAt": "2026-09-01T00:00:00.000Z",
 *   "profileArn": "arn:…",                        // where the token service named one
 *   "region": "us-east-1",                        // where it is renewed
 *   "startUrl": "https://…",                      // builder-id and IdC
 *   "clientId": "…", "clientSecret": "…", "clientSecretExpiresAt": "…"
 * }
 * ```
 */
export interface NewSignIn {
  readonly authMethod: 'social' | 'IdC' | 'builder-id' | 'external_idp'
  /** Display only; `authMethod` decides. */
  readonly provider: string
  readonly accessToken: string
  readonly refreshToken: string | null
  readonly expiresInS: number
  readonly region: string
  readonly profileArn?: string | null
  readonly startUrl?: string
  /** For `IdC` and `builder-id`; for `external_idp` without a secret. */
  readonly client?: {
    readonly clientId: string
    readonly clientSecret?: string
    readonly secretExpiresAt?: number
  }
  readonly idp?: {
    readonly tokenEndpoint: string
    readonly issuerUrl: string
    readonly scopes: readonly string[]
  }
}

export function signInPath(stateDir: string): string {
  return resolve(join(stateDir, 'sign-in.json'))
}

/** Replaces the saved sign-in (mode 0600); resolves with its path once it is on disk. Rejects with Node's error. */
export async function saveSignIn(
  stateDir: string,
  signIn: NewSignIn,
  now = Date.now()
): Promise<string> {
  const { client, idp, profileArn = null, refreshToken, expiresInS, ...same } = signIn
  const expiresAt = client?.secretExpiresAt
  const file = {
    ...same,
    ...(refreshToken !== null && { refreshToken }),
    expiresAt: new Date(now + expiresInS * 1000).toISOString(),
    issuedAt: new Date(now).toISOString(),
    ...(profileArn !== null && { profileArn }),
    ...(client !== undefined && { clientId: client.clientId }),
    ...(client?.clientSecret !== undefined && { clientSecret: client.clientSecret }),
    ...(expiresAt !== undefined && { clientSecretExpiresAt: new Date(expiresAt).toISOString() }),
    ...idp
  }
  await makeFolder(resolve(stateDir))
  const path = signInPath(stateDir)
  const text = `${JSON.stringify(file, null, 2)}\n`
  await replaceFile(path, { text, mode: 0o600, isDurable: true })
  return path
}

export async function removeSignIn(stateDir: string): Promise<boolean> {
  try {
    await unlink(signInPath(stateDir))
    return true
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return false
    throw cause
  }
}

export async function ownSignInSource(
  stateDir: string,
  options: { readonly region: string; readonly log: Pick<Logger, 'warn'> }
): Promise<CredentialSource | null> {
  return (await isThere(signInPath(stateDir))) ? fileSource(stateDir, options) : null
}

/** Like `ownSignInSource()` for a file that may appear later (`LOGIN_ON_START`). */
export function awaitedSignIn(
  stateDir: string,
  options: { readonly region: string; readonly log: Pick<Logger, 'warn'> }
): CredentialSource {
  const source = fileSource(stateDir, options)
  const signedOut: StoredCredential = {
    ...NO_TOKENS,
    authType: 'builder-id',
    ssoRegion: options.region,
    renewalProblem: 'there is no sign-in yet',
    isAwaited: true
  }
  const read = async () => ((await isThere(signInPath(stateDir))) ? source.read() : signedOut)
  return { ...source, read }
}

/** Creates the folder before signing in, so that no sign-in is lost. @throws {GatewayError} GW_CONFIG_INVALID */
export async function prepareSignIn(stateDir: string): Promise<void> {
  const folder = resolve(stateDir)
  try {
    await makeFolder(folder)
    await access(folder, constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw signInNotKept(stateDir, cause)
  }
}

export function signInNotKept(stateDir: string, cause: unknown): GatewayError {
  return operatorError(
    `STATE_DIR: ${resolve(stateDir)} cannot be written (${codeOf(cause)}), so a sign-in would be lost. Make the folder writable, or set STATE_DIR to another.`,
    cause
  )
}

function fileSource(
  stateDir: string,
  { region: ssoRegion, log }: { readonly region: string; readonly log: Pick<Logger, 'warn'> }
): CredentialSource {
  const path = signInPath(stateDir)
  return ideFileSource({
    path,
    ssoRegion,
    log,
    file: {
      path,
      setting: 'STATE_DIR',
      expected: 'It was not written by "kiro-gateway login"; run that again.',
      isOwn: true
    },
    name: `the sign-in of "kiro-gateway login" in ${path}`,
    loginHint: 'Run "kiro-gateway login" again; the gateway picks it up.'
  })
}

/** @throws {GatewayError} GW_CONFIG_INVALID if its folder belongs to another user */
async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT' || codeOf(cause) === 'ENOTDIR') return false
    throw operatorError(
      `STATE_DIR: ${path} cannot be read (${codeOf(cause)}). Give its folder to this user, or set STATE_DIR to another.`,
      cause
    )
  }
}

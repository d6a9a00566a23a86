import { constants } from 'node:fs'
import { access, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { codeOf, GatewayError } from '../shared/errors.ts'
import { makePrivateFolder, replaceFile } from '../shared/private-files.ts'

/** A sign-in that the gateway has made itself: `kiro-gateway login`, or `LOGIN_ON_START`. */
export interface OwnSignIn {
  readonly authMethod: 'builder-id' | 'IdC' | 'social'
  readonly provider: 'BuilderId' | 'Enterprise' | 'Google' | 'Github'
  /** Where it is renewed. */
  readonly region: string
  /** Of the organisation; `null` for people who sign in with Google or GitHub. */
  readonly startUrl: string | null
  readonly client: RegisteredClient | null
  readonly accessToken: string
  readonly refreshToken: string | null
  /** Epoch ms. */
  readonly expiresAt: number
  readonly profileArn: string | null
}

/** What a sign-in service gave us when we introduced ourselves. */
export interface RegisteredClient {
  readonly clientId: string
  readonly clientSecret: string
  /** Epoch ms; `null` if it did not say. */
  readonly expiresAt: number | null
}

/** Where it is kept: a file of the form of the Kiro IDE's (kiro-protocol §3.2), with its client inside. */
export function ownSignInPath(stateDir: string): string {
  return join(stateDir, 'credentials', 'sign-in.json')
}

/**
 * Makes the folder, so that nobody signs in for nothing.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID if nothing can be kept there.
 */
export async function prepareOwnSignIn(stateDir: string): Promise<void> {
  const folder = join(stateDir, 'credentials')
  try {
    await makePrivateFolder(folder)
    await access(folder, constants.W_OK | constants.X_OK)
  } catch (cause) {
    throw unwritable(folder, cause)
  }
}

/**
 * Replaces the sign-in that was there, if any. When this resolves the disk has it. Returns the file's path.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID if it cannot be kept.
 */
export async function saveOwnSignIn(stateDir: string, signIn: OwnSignIn): Promise<string> {
  const path = ownSignInPath(stateDir)
  await prepareOwnSignIn(stateDir)
  const { client, expiresAt, profileArn, startUrl, ...kept } = signIn
  const file = {
    ...kept,
    expiresAt: new Date(expiresAt).toISOString(),
    ...(startUrl !== null && { startUrl }),
    ...(profileArn !== null && { profileArn }),
    ...(client !== null && {
      clientId: client.clientId,
      clientSecret: client.clientSecret,
      ...(client.expiresAt !== null && {
        clientSecretExpiresAt: new Date(client.expiresAt).toISOString()
      })
    })
  }
  try {
    const text = `${JSON.stringify(file, null, 2)}\n`
    await replaceFile(path, { text, mode: 0o600, isDurable: true })
  } catch (cause) {
    throw unwritable(path, cause)
  }
  return path
}

/** Removes it; false if there was none. @throws {GatewayError} GW_CONFIG_INVALID if it cannot be removed. */
export async function removeOwnSignIn(stateDir: string): Promise<boolean> {
  const path = ownSignInPath(stateDir)
  try {
    await unlink(path)
    return true
  } catch (cause) {
    if (['ENOENT', 'ENOTDIR'].includes(codeOf(cause))) return false
    throw unwritable(path, cause)
  }
}

function unwritable(path: string, cause: unknown): GatewayError {
  return new GatewayError('GW_CONFIG_INVALID', undefined, {
    message: `STATE_DIR: ${path} cannot be written (${codeOf(cause)}), so that a sign-in would be lost. Make the folder writable, or let STATE_DIR name another.`,
    cause
  })
}

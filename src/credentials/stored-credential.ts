import { createHash } from 'node:crypto'
import type { AuthType } from '../kiro/wire/credential-snapshot.ts'

export interface OidcClient {
  readonly clientId: string
  readonly clientSecret: string
  /** Epoch ms, if known. */
  readonly expiresAt?: number
}

export interface IdpClient {
  /** Unchecked: see `idpTokenUrl()`. */
  readonly tokenEndpoint: string
  readonly clientId: string
  readonly issuerUrl: string | null
  readonly scopes: string | null
}

export interface StoredCredential {
  readonly authType: AuthType
  readonly accessToken: string | null
  readonly refreshToken: string | null
  /** Epoch ms; `null` is unknown, which counts as expired if the token can be renewed. */
  readonly expiresAt: number | null
  readonly profileArn: string | null
  readonly ssoRegion: string
  readonly apiRegion: string | null
  readonly client: OidcClient | null
  readonly idp?: IdpClient
  readonly renewalProblem: string | null
  readonly isAwaited?: true
}

export const NO_TOKENS = {
  accessToken: null,
  refreshToken: null,
  expiresAt: null,
  profileArn: null,
  apiRegion: null,
  client: null,
  renewalProblem: null
} as const

export interface CredentialSource {
  /** Name in logs and the overlay; a hash. */
  readonly id: string
  /** For messages: the setting, and the path if there is one. */
  readonly name: string
  readonly loginHint: string
  readonly isOwn?: boolean
  /** The sign-in is the setting itself, so another value is another source. */
  readonly isSetting?: boolean
  /** Lock file that other programs with the same sign-in respect. */
  readonly lockPath?: string
  /** @throws {GatewayError} GW_CONFIG_INVALID */
  read(): Promise<StoredCredential>
  /** Writes tokens back if that is safe; returns why not, or `null`. They replace the refresh token `previous`. */
  writeBack?(renewed: StoredCredential, previous: string | null): Promise<string | null>
}

export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** Returns whether an HTTP header can carry the token. */
export function isTokenText(text: string): boolean {
  return /^[\x21-\x7e]{1,65536}$/.test(text)
}

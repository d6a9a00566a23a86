import { createHash } from 'node:crypto'
import type { AuthType } from '../kiro/wire/credential-snapshot.ts'

/** A client that was registered with AWS SSO; needed to renew such a sign-in. */
export interface OidcClient {
  readonly clientId: string
  readonly clientSecret: string
  /** Epoch ms; left out where it is not known. */
  readonly expiresAt?: number
}

/** Data for renewal by an external identity provider, whose client has no secret. */
export interface IdpClient {
  /** As the sign-in names it: to be checked before anything is sent there. */
  readonly tokenEndpoint: string
  readonly clientId: string
  readonly issuerUrl: string | null
  /** Separated by spaces. */
  readonly scopes: string | null
}

/** A sign-in as a source keeps it. */
export interface StoredCredential {
  readonly authType: AuthType
  readonly accessToken: string | null
  readonly refreshToken: string | null
  /** Epoch ms; `null` is unknown, which counts as expired where the token can be renewed. */
  readonly expiresAt: number | null
  readonly profileArn: string | null
  /** Region in which the sign-in is renewed. */
  readonly ssoRegion: string
  /** Named by the source for this account. */
  readonly apiRegion: string | null
  readonly client: OidcClient | null
  readonly idp?: IdpClient
  /** Why the sign-in cannot be renewed, although it is of a kind that could be. */
  readonly renewalProblem: string | null
  /** True until the first sign-in. */
  readonly isAwaited?: true
}

/** Source of a sign-in. One instance for one configured source. */
export interface CredentialSource {
  /** Names the source in logs and the overlay; a hash, so that it gives nothing away. */
  readonly id: string
  /** For logs and messages: the setting, and the path if there is one. */
  readonly name: string
  /** Advice for the operator when the sign-in is dead. */
  readonly loginHint: string
  /** The gateway itself can make a new one. */
  readonly isOwn?: boolean
  /** The sign-in is the setting itself: with another value it is another source. */
  readonly isSetting?: boolean
  /** Path of the lock that other programs with the same sign-in look at; left out where there is none. */
  readonly lockPath?: string
  /** @throws {GatewayError} GW_CONFIG_INVALID with a message for the operator. */
  read(): Promise<StoredCredential>
  /**
   * Puts renewed tokens where the old ones came from, if that is safe. Says why not otherwise; `null` is done.
   * `previous` is the refresh token they replace.
   */
  writeBack?(renewed: StoredCredential, previous: string | null): Promise<string | null>
}

/** A short name for a secret. */
export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** Returns whether an HTTP header can carry the token. Anything else in a token is damage. */
export function isTokenText(text: string): boolean {
  return /^[\x21-\x7e]{1,65536}$/.test(text)
}

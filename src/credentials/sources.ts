import { createHash } from 'node:crypto'
import type { AuthType } from '../kiro/wire/credential-snapshot.ts'
import { GatewayError } from '../shared/errors.ts'

/** A client that was registered with AWS SSO; needed to renew such a sign-in. */
export interface OidcClient {
  readonly clientId: string
  readonly clientSecret: string
}

/** A sign-in as a source keeps it. */
export interface StoredCredential {
  readonly authType: AuthType
  readonly accessToken: string | null
  readonly refreshToken: string | null
  /** Epoch ms; `null` is unknown, which counts as expired where the token can be renewed. */
  readonly expiresAt: number | null
  readonly profileArn: string | null
  /** Where the sign-in is renewed. */
  readonly ssoRegion: string
  /** Named by the source for this account. */
  readonly apiRegion: string | null
  readonly client: OidcClient | null
  /** Why the sign-in cannot be renewed, although it is of a kind that could be. */
  readonly renewalProblem: string | null
}

/** Where a sign-in comes from. One instance for one configured source. */
export interface CredentialSource {
  /** Names the source in logs and the overlay; a hash, so that it gives nothing away. */
  readonly id: string
  /** For logs and messages: the setting, and the path if there is one. */
  readonly name: string
  /** What the operator has to do when the sign-in is dead. */
  readonly loginHint: string
  /** @throws {GatewayError} GW_CONFIG_INVALID with a message for the operator. */
  read(): Promise<StoredCredential>
  /**
   * Puts renewed tokens where the old ones came from, if that is safe. Says why not otherwise; `null` is done.
   * `previous` is the refresh token they replace.
   */
  writeBack?(renewed: StoredCredential, previous: string | null): Promise<string | null>
}

/** A short name for something that must not be told. */
export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 32)
}

/** What an HTTP header can carry. Anything else in a token is damage. */
export function isTokenText(text: string): boolean {
  return /^[\x21-\x7e]{1,65536}$/.test(text)
}

/** A sign-in of which nothing is known yet. */
const UNKNOWN = {
  accessToken: null,
  refreshToken: null,
  expiresAt: null,
  profileArn: null,
  apiRegion: null,
  client: null,
  renewalProblem: null
} as const

/** `KIRO_API_KEY`: valid until it is revoked, so there is nothing to renew. */
export function apiKeySource(apiKey: string, ssoRegion: string): CredentialSource {
  const stored: StoredCredential = {
    ...UNKNOWN,
    authType: 'api-key',
    accessToken: apiKey,
    ssoRegion,
    renewalProblem: 'an API key cannot be renewed'
  }
  return {
    id: hashOf(`api-key:${apiKey}`),
    name: 'KIRO_API_KEY',
    loginHint: 'Make a new key in Kiro, put it into KIRO_API_KEY and restart.',
    read: () => Promise.resolve(stored)
  }
}

/**
 * `REFRESH_TOKEN`: a desktop sign-in of which only the refresh token is known. Another token is another source, with an
 * overlay of its own.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID if the token was cut short when it was copied.
 */
export function refreshTokenSource(refreshToken: string, ssoRegion: string): CredentialSource {
  if (refreshToken.includes('...') || !isTokenText(refreshToken)) {
    throw new GatewayError('GW_CONFIG_INVALID', undefined, {
      message: 'REFRESH_TOKEN is not a whole token: it was cut short when it was copied.'
    })
  }
  return {
    id: hashOf(`refresh-token:${refreshToken}`),
    name: 'REFRESH_TOKEN',
    loginHint:
      'Log in again in Kiro IDE, put the new refresh token into REFRESH_TOKEN and restart.',
    read: () => Promise.resolve({ ...UNKNOWN, authType: 'social', refreshToken, ssoRegion })
  }
}

/**
 * A sign-in that opens nothing, for the built-in simulator. Every reading is a new token, so that a demo in which
 * the simulator refused a token or suspended the account goes on by itself.
 */
export function simulatorSource(): CredentialSource {
  let readings = 0
  return {
    id: hashOf('simulator'),
    name: 'simulator',
    loginHint: 'The simulator takes any token.',
    read: () =>
      Promise.resolve({
        ...UNKNOWN,
        authType: 'social',
        accessToken: `simulator-token-${++readings}`,
        profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/SIMULATOR',
        ssoRegion: 'us-east-1',
        renewalProblem: 'the simulator’s token needs no renewal'
      })
  }
}

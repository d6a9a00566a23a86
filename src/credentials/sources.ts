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

/** `KIRO_API_KEY`: valid until it is revoked, so there is nothing to renew. */
export class ApiKeySource implements CredentialSource {
  readonly id: string
  readonly name = 'KIRO_API_KEY'
  readonly loginHint = 'Make a new key in Kiro, put it into KIRO_API_KEY and restart.'
  readonly #stored: StoredCredential

  constructor(apiKey: string, ssoRegion: string) {
    this.id = hashOf(`api-key:${apiKey}`)
    this.#stored = {
      authType: 'api-key',
      accessToken: apiKey,
      refreshToken: null,
      expiresAt: null,
      profileArn: null,
      ssoRegion,
      apiRegion: null,
      client: null,
      renewalProblem: 'an API key cannot be renewed'
    }
  }

  read(): Promise<StoredCredential> {
    return Promise.resolve(this.#stored)
  }
}

/** `REFRESH_TOKEN`: a desktop sign-in of which only the refresh token is known. */
export class EnvRefreshTokenSource implements CredentialSource {
  /** Another token is another source, with an overlay of its own. */
  readonly id: string
  readonly name = 'REFRESH_TOKEN'
  readonly loginHint =
    'Log in again in Kiro IDE, put the new refresh token into REFRESH_TOKEN and restart.'
  readonly #stored: StoredCredential

  /** @throws {GatewayError} GW_CONFIG_INVALID if the token was cut short when it was copied. */
  constructor(refreshToken: string, ssoRegion: string) {
    if (refreshToken.includes('...') || !isTokenText(refreshToken)) {
      throw new GatewayError('GW_CONFIG_INVALID', undefined, {
        message: 'REFRESH_TOKEN is not a whole token: it was cut short when it was copied.'
      })
    }
    this.id = hashOf(`refresh-token:${refreshToken}`)
    this.#stored = {
      authType: 'social',
      accessToken: null,
      refreshToken,
      expiresAt: null,
      profileArn: null,
      ssoRegion,
      apiRegion: null,
      client: null,
      renewalProblem: null
    }
  }

  read(): Promise<StoredCredential> {
    return Promise.resolve(this.#stored)
  }
}

/**
 * A sign-in that opens nothing, for the built-in simulator. Every reading is a new token, so that a demo in which
 * the simulator refused a token or suspended the account goes on by itself.
 */
export class SimulatorSource implements CredentialSource {
  readonly id = hashOf('simulator')
  readonly name = 'simulator'
  readonly loginHint = 'The simulator takes any token.'
  #readings = 0

  read(): Promise<StoredCredential> {
    this.#readings += 1
    return Promise.resolve({
      authType: 'social',
      accessToken: `simulator-token-${this.#readings}`,
      refreshToken: null,
      expiresAt: null,
      profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/SIMULATOR',
      ssoRegion: 'us-east-1',
      apiRegion: null,
      client: null,
      renewalProblem: 'the simulator’s token needs no renewal'
    })
  }
}

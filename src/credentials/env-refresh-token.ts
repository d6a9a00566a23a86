import { GatewayError } from '../shared/errors.ts'
import {
  type CredentialSource,
  hashOf,
  isTokenText,
  type StoredCredential
} from './stored-credential.ts'

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

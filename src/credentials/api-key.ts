import { type CredentialSource, hashOf, type StoredCredential } from './stored-credential.ts'

/** `KIRO_API_KEY`: lives until somebody revokes it, so there is nothing to renew. */
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

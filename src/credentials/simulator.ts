import { type CredentialSource, hashOf, type StoredCredential } from './stored-credential.ts'

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

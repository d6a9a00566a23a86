import { type CredentialSource, hashOf, type StoredCredential } from './stored-credential.ts'

/** A sign-in that opens nothing, for the built-in simulator. */
export class SimulatorSource implements CredentialSource {
  readonly id = hashOf('simulator')
  readonly name = 'simulator'
  readonly loginHint = 'The simulator takes any token.'

  read(): Promise<StoredCredential> {
    return Promise.resolve({
      authType: 'social',
      accessToken: 'simulator-token',
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

import type { StoredCredential } from '../../src/credentials/stored-credential.ts'

/** A desktop sign-in with some members changed. */
export function storedCredential(changes: Partial<StoredCredential> = {}): StoredCredential {
  return {
    authType: 'social',
    accessToken: null,
    refreshToken: null,
    expiresAt: null,
    profileArn: null,
    ssoRegion: 'us-east-1',
    apiRegion: null,
    client: null,
    renewalProblem: null,
    ...changes
  }
}

import type { CredentialSnapshot } from '../../src/kiro/wire/credential-snapshot.ts'

/** What the primary tells of a desktop sign-in, with some members changed. */
export function credentialSnapshot(changes: Partial<CredentialSnapshot> = {}): CredentialSnapshot {
  return {
    id: 'account-1',
    token: 'token-1',
    tokenType: 'none',
    authType: 'social',
    profileArn: null,
    apiRegion: 'us-east-1',
    expiresAt: null,
    ...changes
  }
}

import { type CredentialSnapshot, tokenTypeOf } from '../kiro/credential-snapshot.ts'
import { resolveApiRegion } from '../kiro/regions.ts'
import type { StoredCredential } from './stored-credential.ts'

export interface SnapshotSettings {
  /** `PROFILE_ARN`: used where the sign-in does not name its profile. */
  readonly profileArn: string | null
  /** `KIRO_API_REGION`. */
  readonly apiRegion: string | null
}

/** What workers are given of a sign-in: no refresh token, no client secret. */
export function toSnapshot(
  id: string,
  stored: StoredCredential & { readonly accessToken: string },
  settings: SnapshotSettings
): CredentialSnapshot {
  const { authType, accessToken, expiresAt, ssoRegion } = stored
  const profileArn = stored.profileArn ?? settings.profileArn
  return {
    id,
    token: accessToken,
    tokenType: tokenTypeOf(authType),
    authType,
    profileArn,
    apiRegion: resolveApiRegion({
      explicit: stored.apiRegion ?? settings.apiRegion,
      profileArn,
      ssoRegion
    }),
    expiresAt
  }
}

import { loadConfig } from '../../src/config/load.ts'
import type { Config } from '../../src/config/settings.ts'
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

/** The settings of a gateway that names no source of credentials, with some changed. */
export function credentialSettings(
  changes: Partial<Config['credentials']> = {}
): Config['credentials'] {
  const loaded = loadConfig({ KIRO_CREDS: 'none' }, [])
  if (loaded.name !== 'config') throw new Error('no config')
  return { ...loaded.config.credentials, ...changes }
}

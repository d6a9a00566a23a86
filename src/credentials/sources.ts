import type { Config } from '../config/settings.ts'
import type { Logger } from '../observe/logger.ts'
import { operatorError } from '../shared/errors.ts'
import { cliDatabaseSource } from './cli-database.ts'
import { ideFileSource } from './ide-file.ts'
import {
  type CredentialSource,
  hashOf,
  isTokenText,
  NO_TOKENS,
  type StoredCredential
} from './stored-credential.ts'

/** Picks API key, file, database or refresh token, in this order. @throws {GatewayError} GW_CONFIG_INVALID */
export function createCredentialSource(
  settings: Config['credentials'],
  log: Pick<Logger, 'warn'>
): CredentialSource | null {
  const { apiKey, credsFile, cliDbFile, refreshToken, region, isDbReadonly } = settings
  if (apiKey !== null) return apiKeySource(apiKey, region)
  if (credsFile !== null) return ideFileSource({ path: credsFile, ssoRegion: region, log })
  if (cliDbFile !== null) {
    return cliDatabaseSource({
      path: cliDbFile,
      ssoRegion: region,
      isReadonly: isDbReadonly,
      log
    })
  }
  return refreshToken === null ? null : refreshTokenSource(refreshToken, region)
}

/** `KIRO_API_KEY` never expires, so there is nothing to renew. */
function apiKeySource(apiKey: string, ssoRegion: string): CredentialSource {
  const stored: StoredCredential = {
    ...NO_TOKENS,
    authType: 'api-key',
    accessToken: apiKey,
    ssoRegion,
    renewalProblem: 'an API key cannot be renewed'
  }
  return {
    id: hashOf(`api-key:${apiKey}`),
    name: 'KIRO_API_KEY',
    loginHint: 'Create a new key in Kiro, set KIRO_API_KEY to it, and restart.',
    read: () => Promise.resolve(stored)
  }
}

/** `REFRESH_TOKEN`: each is a source with its own overlay. @throws {GatewayError} GW_CONFIG_INVALID if cut short */
function refreshTokenSource(refreshToken: string, ssoRegion: string): CredentialSource {
  if (refreshToken.includes('...') || !isTokenText(refreshToken)) {
    throw operatorError('REFRESH_TOKEN is incomplete: part of it was lost when it was copied.')
  }
  return {
    id: hashOf(`refresh-token:${refreshToken}`),
    name: 'REFRESH_TOKEN',
    isSetting: true,
    loginHint:
      'Sign in again in Kiro IDE, set REFRESH_TOKEN to the new refresh token, and restart.',
    read: () => Promise.resolve({ ...NO_TOKENS, authType: 'social', refreshToken, ssoRegion })
  }
}

/** Each read makes a new token, so that a demo recovers from a refusal by itself. */
export function simulatorSource(): CredentialSource {
  let readings = 0
  return {
    id: hashOf('simulator'),
    name: 'simulator',
    loginHint: 'The simulator takes any token.',
    read: () =>
      Promise.resolve({
        ...NO_TOKENS,
        authType: 'social',
        accessToken: `simulator-token-${++readings}`,
        profileArn: 'arn:aws:codewhisperer:us-east-1:123456789012:profile/SIMULATOR',
        ssoRegion: 'us-east-1',
        renewalProblem: 'the simulator’s token needs no renewal'
      })
  }
}

import type { Config } from '../config/settings.ts'
import type { HostOverrides } from '../kiro/wire/hosts.ts'
import type { Logger } from '../observe/logger.ts'
import type { JsonCall } from '../upstream/call/json-exchange.ts'
import { IdeFileSource } from './ide-file.ts'
import { CredentialRefresher } from './refresher.ts'
import { renewTokens, WALL_CLOCK, type WallClock } from './renew.ts'
import { apiKeySource, type CredentialSource, refreshTokenSource } from './sources.ts'
import { CredentialVault, OverlayStore } from './vault.ts'

type CredentialSettings = Config['credentials']

/**
 * The source to use: API key, then file, then refresh token; `null` if none is configured.
 *
 * @throws {GatewayError} GW_CONFIG_INVALID for a refresh token that was cut short.
 */
export function createCredentialSource(
  settings: CredentialSettings,
  log: Pick<Logger, 'warn'>
): CredentialSource | null {
  const { apiKey, credsFile, refreshToken, region } = settings
  if (apiKey !== null) return apiKeySource(apiKey, region)
  if (credsFile !== null) return new IdeFileSource({ path: credsFile, ssoRegion: region, log })
  return refreshToken === null ? null : refreshTokenSource(refreshToken, region)
}

export interface CredentialRefresherParts {
  readonly source: CredentialSource
  readonly settings: CredentialSettings
  readonly upstream: HostOverrides & { readonly userAgent: string }
  readonly call: JsonCall
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  readonly onChange: () => void
  readonly clock?: WallClock
}

/** Builds the refresher of a source. Not started yet. */
export function createCredentialRefresher(parts: CredentialRefresherParts): CredentialRefresher {
  const { source, settings, upstream, call, log, onChange, clock = WALL_CLOCK } = parts
  const overlay = new OverlayStore({ stateDir: settings.stateDir, sourceId: source.id, log })
  const { loginHint } = source
  const renewal = { call, clock, hosts: upstream, userAgent: upstream.userAgent, loginHint }
  return new CredentialRefresher({
    vault: new CredentialVault({ source, overlay, log }),
    renew: (stored, leaving) => renewTokens(stored, { ...renewal, leaving }),
    settings,
    clock,
    log,
    onChange
  })
}

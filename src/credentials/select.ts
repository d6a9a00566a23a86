import type { HostOverrides } from '../kiro/wire/hosts.ts'
import type { Logger } from '../observe/logger.ts'
import type { JsonCall } from '../upstream/call/json-exchange.ts'
import { type Clock, systemClock } from './clock.ts'
import { IdeFileSource } from './ide-file.ts'
import { CredentialRefresher } from './refresher.ts'
import { renewTokens } from './renew.ts'
import type { CredentialState } from './sign-in.ts'
import { ApiKeySource, type CredentialSource, EnvRefreshTokenSource } from './sources.ts'
import { CredentialVault, OverlayStore } from './vault.ts'

/** `config.credentials`. */
export interface CredentialSettings {
  readonly apiKey: string | null
  readonly credsFile: string | null
  readonly refreshToken: string | null
  readonly profileArn: string | null
  readonly region: string
  readonly apiRegion: string | null
  readonly stateDir: string
}

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
  if (apiKey !== null) return new ApiKeySource(apiKey, region)
  if (credsFile !== null) return new IdeFileSource({ path: credsFile, ssoRegion: region, log })
  return refreshToken === null ? null : new EnvRefreshTokenSource(refreshToken, region)
}

export interface CredentialRefresherParts {
  readonly source: CredentialSource
  readonly settings: CredentialSettings
  readonly upstream: HostOverrides & { readonly userAgent: string }
  readonly call: JsonCall
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  readonly onChange: (state: CredentialState) => void
  readonly clock?: Clock
}

/** Builds the refresher of a source. Not started yet. */
export function createCredentialRefresher(parts: CredentialRefresherParts): CredentialRefresher {
  const { source, settings, upstream, call, log, onChange, clock = systemClock } = parts
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

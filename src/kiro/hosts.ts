import type { CredentialSnapshot } from './credential-snapshot.ts'
import { SharedProfileArn } from './regions.ts'

/** Replacements for the upstream's hosts; may have a path, may be plain http, may contain `{region}`. */
export interface HostOverrides {
  readonly apiUrl: string | null
  readonly managementUrl: string | null
  readonly authUrl: string | null
  readonly oidcUrl: string | null
}

/** `custom` is an override; it is treated like `runtime`. */
export type HostKind = 'runtime' | 'q' | 'custom'

export interface UpstreamHost {
  /** Base URL without a slash at the end. */
  readonly url: string
  readonly kind: HostKind
}

const HostTemplate = {
  runtime: 'https://runtime.{region}.kiro.dev',
  q: 'https://q.{region}.amazonaws.com',
  management: 'https://management.{region}.kiro.dev',
  auth: 'https://prod.{region}.auth.desktop.kiro.dev',
  oidc: 'https://oidc.{region}.amazonaws.com'
} as const

/**
 * Hosts that generate, in the order to try them. The next one is due only after a failure to connect or a
 * fault whose remedy says so (kiro-protocol §1.2): the throttle is per account, not per host.
 */
export function hostsFor(
  snapshot: Pick<CredentialSnapshot, 'apiRegion'>,
  overrides: HostOverrides
): readonly UpstreamHost[] {
  const { apiRegion } = snapshot
  if (overrides.apiUrl !== null) {
    return [{ url: fill(overrides.apiUrl, apiRegion), kind: 'custom' }]
  }
  return [
    { url: fill(HostTemplate.runtime, apiRegion), kind: 'runtime' },
    { url: fill(HostTemplate.q, apiRegion), kind: 'q' }
  ]
}

export function generateUrl(host: UpstreamHost): string {
  return `${host.url}/generateAssistantResponse`
}

/** Where the upstream's own tools are called (kiro-protocol §9.4). */
export function mcpUrl(host: UpstreamHost): string {
  return `${host.url}/mcp`
}

/** Base URL for model list, profiles and usage. */
export function managementUrl(
  snapshot: Pick<CredentialSnapshot, 'apiRegion'>,
  overrides: HostOverrides
): string {
  const template = overrides.managementUrl ?? overrides.apiUrl ?? HostTemplate.management
  return fill(template, snapshot.apiRegion)
}

/** Where a desktop sign-in renews its token. */
export function desktopRefreshUrl(ssoRegion: string, overrides: HostOverrides): string {
  return `${fill(overrides.authUrl ?? HostTemplate.auth, ssoRegion)}/refreshToken`
}

/** Where an AWS SSO sign-in renews its token. */
export function oidcTokenUrl(ssoRegion: string, overrides: HostOverrides): string {
  return `${fill(overrides.oidcUrl ?? HostTemplate.oidc, ssoRegion)}/token`
}

/**
 * The ARN to send to a host; `null` sends none (kiro-protocol §3.9). An ARN that a host does not want gives
 * 403, a missing one 400, so this follows the table to the letter.
 */
export function profileArnFor(
  snapshot: Pick<CredentialSnapshot, 'authType' | 'profileArn'>,
  kind: HostKind
): string | null {
  const { authType, profileArn } = snapshot
  switch (authType) {
    case 'social':
      return profileArn ?? SharedProfileArn.social
    case 'builder-id':
      return kind === 'q' ? null : (profileArn ?? SharedProfileArn.builderId)
    case 'api-key':
      return null
    case 'idc':
    case 'external-idp':
      break
  }
  return profileArn
}

function fill(template: string, region: string): string {
  return template.replaceAll('{region}', region).replace(/\/+$/, '')
}

import type { CredentialSnapshot } from './credential-snapshot.ts'

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

/** Where the API is known to exist; other regions are used only when they are named. */
export const API_REGIONS: readonly string[] = ['us-east-1', 'eu-central-1']
const DEFAULT_REGION = 'us-east-1'
const REGION = /^[a-z]{2}(-[a-z]+)+-\d{1,2}$/
const ARN_REGION = /^[a-z]+-[a-z]+-\d+$/
const PROFILE_ARN = /^arn:aws:codewhisperer:[a-z0-9-]+:\d{12}:profile\/[A-Za-z0-9._-]+$/

/** Fixed ARNs that all accounts of a kind share; no secrets (kiro-protocol §3.9). */
export const SharedProfileArn = {
  social: 'arn:aws:codewhisperer:us-east-1:699475941385:profile/EHGA3GRVQMUK',
  builderId: 'arn:aws:codewhisperer:us-east-1:638616132270:profile/AAAACCCCXXXX'
} as const

export interface RegionHints {
  /** Named for this account or by `KIRO_API_REGION`; wins. */
  readonly explicit: string | null
  readonly profileArn: string | null
  /** Region of the sign-in. Says little about the API: most sign-in regions have no API host. */
  readonly ssoRegion: string | null
}

/** Region of the API hosts (kiro-protocol §1.4). */
export function resolveApiRegion({ explicit, profileArn, ssoRegion }: RegionHints): string {
  if (explicit !== null) return explicit
  const ofArn =
    profileArn === null || isSharedArn(profileArn) ? undefined : profileArn.split(':')[3]
  if (ofArn !== undefined && ARN_REGION.test(ofArn)) return ofArn
  return ssoRegion !== null && API_REGIONS.includes(ssoRegion) ? ssoRegion : DEFAULT_REGION
}

/** Regions become parts of host names, so nothing else may pass for one. */
export function isRegion(text: string): boolean {
  return REGION.test(text)
}

export function isProfileArn(text: string): boolean {
  return PROFILE_ARN.test(text)
}

/** A shared ARN says nothing about where its account lives. */
function isSharedArn(arn: string): boolean {
  return arn === SharedProfileArn.social || arn === SharedProfileArn.builderId
}

/** Headers of one generation call (kiro-protocol §2). */
export function generationHeaders(
  snapshot: Pick<CredentialSnapshot, 'token' | 'tokenType'>,
  call: {
    /** How the gateway names itself. */
    readonly userAgent: string
    /** A UUID, the same for all attempts of one request. */
    readonly invocationId: string
    /** From 1. */
    readonly attempt: number
    readonly maxAttempts: number
    /** What `profileArnFor` said for this host; it also goes into the body. */
    readonly profileArn: string | null
  }
): Record<string, string> {
  const { invocationId, attempt, maxAttempts, profileArn } = call
  return {
    ...bearerHeaders(snapshot, call.userAgent),
    'content-type': 'application/json',
    accept: 'application/vnd.amazon.eventstream',
    'x-amzn-kiro-agent-mode': 'vibe',
    'amz-sdk-invocation-id': invocationId,
    'amz-sdk-request': `attempt=${attempt}; max=${maxAttempts}`,
    ...(profileArn === null ? {} : { 'x-amzn-kiro-profile-arn': profileArn })
  }
}

/**
 * Headers that identify the caller, for every operation. A key or an identity provider's token without its
 * `TokenType` is taken for an ordinary one and refused.
 */
export function bearerHeaders(
  snapshot: Pick<CredentialSnapshot, 'token' | 'tokenType'>,
  userAgent: string
): Record<string, string> {
  return {
    authorization: `Bearer ${snapshot.token}`,
    ...(snapshot.tokenType === 'none' ? {} : { tokentype: snapshot.tokenType }),
    'user-agent': userAgent,
    'x-amz-user-agent': userAgent
  }
}

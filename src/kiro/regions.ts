/** Where the API is known to exist; other regions are used only when somebody names them. */
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

/** Kind of an account's sign-in (kiro-protocol §3.4); decides headers, hosts and profile ARN. */
export type AuthType = 'social' | 'builder-id' | 'idc' | 'external-idp' | 'api-key'

/** Value of the `TokenType` header; `none` leaves the header out (kiro-protocol §2.3). */
export type TokenType = 'none' | 'API_KEY' | 'EXTERNAL_IDP'

/**
 * Facts about an account for one upstream call. Plain data: it crosses processes. Token, ARN and region belong
 * together, so a call takes one snapshot and never mixes two.
 */
export interface CredentialSnapshot {
  /** The same for all snapshots of one source; safe to log. */
  readonly id: string
  readonly token: string
  readonly tokenType: TokenType
  readonly authType: AuthType
  /** The account's own ARN. Which ARN a host is sent, if any, is decided by `profileArnFor`. */
  readonly profileArn: string | null
  readonly apiRegion: string
  /** Epoch ms; `null` when it never expires, or that is unknown. */
  readonly expiresAt: number | null
}

export function tokenTypeOf(authType: AuthType): TokenType {
  if (authType === 'api-key') return 'API_KEY'
  return authType === 'external-idp' ? 'EXTERNAL_IDP' : 'none'
}

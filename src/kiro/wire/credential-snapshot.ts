/** Kind of sign-in (kiro-protocol §3.4), which decides headers, hosts and profile ARN. */
export type AuthType = 'social' | 'builder-id' | 'idc' | 'external-idp' | 'api-key'

/** `TokenType` header; `none` leaves it out (kiro-protocol §2.3). */
export type TokenType = 'none' | 'API_KEY' | 'EXTERNAL_IDP'

/** Token, ARN and region belong together: a call never mixes two snapshots. Plain data: it crosses processes. */
export interface CredentialSnapshot {
  /** Same for all snapshots of one source; safe to log. */
  readonly id: string
  readonly token: string
  readonly tokenType: TokenType
  readonly authType: AuthType
  /** The account's own; `profileArnFor` decides which one a host gets. */
  readonly profileArn: string | null
  readonly apiRegion: string
  /** Epoch ms; `null` if unknown or never. */
  readonly expiresAt: number | null
}

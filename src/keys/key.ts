/** A key of one person or program, with its limits. Times are milliseconds since the epoch. */
export interface NamedKey {
  /** Random; the same for the key's whole life, also after `rotate`: what is counted and kept is counted and kept under it. */
  readonly id: string
  /** Name for people, unique among the active keys. */
  readonly name: string
  /** The current one and those in grace: any of them lets in. */
  readonly hashes: readonly KeyHash[]
  /** `null` means no limit, here and below. */
  readonly credits: CreditLimit | null
  readonly requestsPerMinute: number | null
  readonly maxStreams: number | null
  /** Patterns of model names, `*` for any text; see `mayAskModel()`. */
  readonly models: readonly string[] | null
  /** Its requests go on where the plan is used up and each further credit costs extra (`ALLOW_OVERAGE`). */
  readonly mayOverage: boolean
  readonly expiresAt: number | null
  readonly revokedAt: number | null
  readonly createdAt: number
  /** Credits used before, as an operator said at this time after the account book was damaged. Micro-credits. */
  readonly reopened: { readonly at: number; readonly used: number } | null
}

export interface KeyHash {
  /** SHA-256 of the whole key, prefix included; lower-case hex. */
  readonly sha256: string
  /** End of its validity; `null` for the current one. */
  readonly until: number | null
}

export interface CreditLimit {
  /** Credits, above 0 and at most MAX_CREDITS; six decimals at most, so that it is a whole number of micro-credits. */
  readonly limit: number
  readonly period: CreditPeriod
}

/** After which a limit starts anew, in UTC: at midnight, on Monday, on the first of the month, never. */
export type CreditPeriod = 'day' | 'week' | 'month' | 'total'

export const CREDIT_PERIODS = [
  'day',
  'week',
  'month',
  'total'
] as const satisfies readonly CreditPeriod[]

/** Highest limit: as micro-credits, a thousand of them still add up exactly. */
export const MAX_CREDITS = 1_000_000

export const MICROS_PER_CREDIT = 1_000_000

/** The named keys there are, as the workers know them. */
export interface KeyBook {
  /** There is a named key, or was one since the start: requests without a key are refused, even where none is left. */
  readonly isKeyRequired: boolean
  readonly keys: readonly NamedKey[]
}

export const NO_KEY_BOOK: KeyBook = { isKeyRequired: false, keys: [] }

/** Reason why a key is refused, or `null`. */
export function whyRefused(
  { expiresAt, revokedAt }: Pick<NamedKey, 'expiresAt' | 'revokedAt'>,
  now: number
): 'revoked' | 'expired' | null {
  if (revokedAt !== null) return 'revoked'
  return expiresAt !== null && expiresAt <= now ? 'expired' : null
}

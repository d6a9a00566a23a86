/** Times are epoch ms. */
export interface NamedKey {
  /** Random, and the same for life, also after `rotate`: everything is counted and stored under it. */
  readonly id: string
  readonly name: string
  /** The current one and those in grace: each is valid. */
  readonly hashes: readonly KeyHash[]
  /** `null`: no limit, here and below. */
  readonly credits: CreditLimit | null
  readonly requestsPerMinute: number | null
  readonly maxStreams: number | null
  /** Patterns with `*` for any text; see `mayAskModel()`. */
  readonly models: readonly string[] | null
  /** Requests go on when the plan is used up and credits cost extra (`ALLOW_OVERAGE`). */
  readonly mayOverage: boolean
  readonly expiresAt: number | null
  readonly revokedAt: number | null
  readonly createdAt: number
  /** Micro-credits used before `at`, set by an operator after the account book was damaged. */
  readonly reopened: { readonly at: number; readonly used: number } | null
}

export interface KeyHash {
  /** SHA-256 of the whole key with prefix, in lower-case hex. */
  readonly sha256: string
  /** End of its validity; `null` for the current one. */
  readonly until: number | null
}

export interface CreditLimit {
  /** Above 0 and at most MAX_CREDITS, with six decimals: a whole number of micro-credits. */
  readonly limit: number
  readonly period: CreditPeriod
}

/** Limits reset in UTC: at midnight, on Monday, on the first of the month, never. */
export const CREDIT_PERIODS = ['day', 'week', 'month', 'total'] as const

export type CreditPeriod = (typeof CREDIT_PERIODS)[number]

/** A thousand of them still add up exactly as micro-credits. */
export const MAX_CREDITS = 1_000_000

export const MICROS_PER_CREDIT = 1_000_000

export interface KnownKeys {
  /** True if there is, or was since the start, a named key: requests without a key are refused, even if none is left. */
  readonly isKeyRequired: boolean
  readonly keys: readonly NamedKey[]
}

export const NO_KNOWN_KEYS: KnownKeys = { isKeyRequired: false, keys: [] }

/** True if what a request of the key does is limited: what it costs, or how many there are. */
export function hasLimits(
  key: Pick<NamedKey, 'credits' | 'requestsPerMinute' | 'maxStreams'>
): boolean {
  return key.credits !== null || hasCounts(key)
}

/** True if the key may send only so many requests a minute, or have only so many streams at once. */
export function hasCounts({
  requestsPerMinute,
  maxStreams
}: Pick<NamedKey, 'requestsPerMinute' | 'maxStreams'>): boolean {
  return requestsPerMinute !== null || maxStreams !== null
}

export function whyRefused(
  { expiresAt, revokedAt }: Pick<NamedKey, 'expiresAt' | 'revokedAt'>,
  now: number
): 'revoked' | 'expired' | null {
  if (revokedAt !== null) return 'revoked'
  return expiresAt !== null && expiresAt <= now ? 'expired' : null
}

/** End of the last grace period of a former secret; `null` if none is accepted any more. */
export function graceOf({ hashes }: Pick<NamedKey, 'hashes'>, now: number): number | null {
  const ends = hashes.flatMap(({ until }) => (until !== null && until > now ? [until] : []))
  return ends.length === 0 ? null : Math.max(...ends)
}

/** Time at which the next of these keys, or of their former secrets, expires; `null` if none will. */
export function nextEndOf(
  keys: readonly Pick<NamedKey, 'expiresAt' | 'hashes'>[],
  now: number
): number | null {
  const ends = keys.flatMap(({ expiresAt, hashes }) => [
    expiresAt,
    ...hashes.map(({ until }) => until)
  ])
  const next = ends.reduce<number>(
    (least, end) => (end !== null && end > now && end < least ? end : least),
    Infinity
  )
  return next === Infinity ? null : next
}

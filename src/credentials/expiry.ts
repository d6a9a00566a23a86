import type { StoredCredential } from './stored-credential.ts'

/** With less than this left, a token is renewed in the background. */
const REFRESH_AHEAD_MS = 600_000
/** Our clock, the upstream's clock and a request on its way may differ by this much. */
const SKEW_MS = 60_000

/**
 * `fresh` is used as it is; `due` is used while it is renewed in the background; `expired` has to be renewed
 * before anything is sent.
 */
export type TokenAge = 'fresh' | 'due' | 'expired'

/** Age of a sign-in's access token. An unknown expiry is only trusted where nothing could be renewed. */
export function tokenAge(stored: StoredCredential, now: number): TokenAge {
  const { accessToken, expiresAt, refreshToken } = stored
  if (accessToken === null) return 'expired'
  if (expiresAt === null) return refreshToken === null ? 'fresh' : 'expired'
  if (expiresAt <= now) return 'expired'
  return expiresAt - REFRESH_AHEAD_MS <= now ? 'due' : 'fresh'
}

/** When a token that was issued now for so many seconds is to be thought of as expired. */
export function expiryOf(expiresInS: number, now: number): number {
  const lifeMs = expiresInS * 1000
  return now + Math.max(lifeMs - SKEW_MS, lifeMs / 2)
}

/**
 * When to renew in the background; `null` is never. Tokens that were issued just now and live for minutes only
 * are renewed at half their life, or their renewal would never end.
 */
export function dueAtOf(expiresAt: number | null, issuedAt?: number): number | null {
  if (expiresAt === null) return null
  const ahead = expiresAt - REFRESH_AHEAD_MS
  return issuedAt === undefined ? ahead : Math.max(ahead, issuedAt + (expiresAt - issuedAt) / 2)
}

/** Epoch ms of an expiry as files have it; `null` if it is none. */
export function parseExpiry(value: unknown): number | null {
  if (typeof value === 'number' && Number.isFinite(value))
    return value < 1e11 ? value * 1000 : value
  if (typeof value !== 'string') return null
  // kiro-cli writes nine digits of a second, older AWS tools "UTC"; not every parser knows these.
  const text = value
    .trim()
    .replace(/(\.\d{3})\d+/, '$1')
    .replace(/UTC$/, 'Z')
  const time = Date.parse(text)
  return Number.isNaN(time) ? null : time
}

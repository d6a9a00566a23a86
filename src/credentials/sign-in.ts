import type { Config } from '../config/settings.ts'
import { type CredentialSnapshot, tokenTypeOf } from '../kiro/wire/credential-snapshot.ts'
import { resolveApiRegion } from '../kiro/wire/hosts.ts'
import type { Logger } from '../observe/logger.ts'
import type { ErrorCode, GatewayError } from '../shared/errors.ts'
import type { WallClock } from './renew.ts'
import { isFinalRefusal } from './renewal-failure.ts'
import type { CredentialSource, StoredCredential } from './stored-credential.ts'

export interface SignInOptions {
  readonly source: Pick<CredentialSource, 'id' | 'name'>
  readonly settings: SnapshotSettings
  readonly clock: Pick<WallClock, 'now'>
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  /**
   * Called with every new token, when the sign-in stops working, and when the reason for that changes. Must not throw.
   */
  readonly onChange: () => void
  /** From 0 to 1, so that gateways with one sign-in do not renew it at the same moment. */
  readonly random?: () => number
  /** Several gateways have it: it is renewed at half its life, so that it outlives what they share it by for a while. */
  readonly isShared?: () => boolean
}

/** State of the account's sign-in: the token in use and the last failure to renew it. No I/O. */
export class SignIn {
  readonly #options: SignInOptions
  #held: HeldCredential | null = null
  #failure: RenewalFailure | null = null
  #reported: CredentialState['name'] = 'waiting'
  /** Epoch ms of the last line in the log about the failure. */
  #loggedAt = 0

  constructor(options: SignInOptions) {
    this.#options = options
  }

  state(): CredentialState {
    const [held, failure, now] = [this.#held, this.#failure, this.#options.clock.now()]
    const problem = failure?.error ?? null
    if (held !== null && now < (held.snapshot.expiresAt ?? Infinity)) {
      return { name: 'usable', snapshot: held.snapshot, problem }
    }
    if (failure?.isFinal === true) return { name: 'dead', problem: failure.error }
    return { name: 'waiting', problem, retryAt: failure?.retryAt ?? 0 }
  }

  /** Token to use now; `null` without a valid one. */
  current(): CredentialSnapshot | null {
    const state = this.state()
    return state.name === 'usable' ? state.snapshot : null
  }

  /** The sign-in behind the token in use, also if that has expired. */
  get stored(): StoredCredential | null {
    return this.#held?.stored ?? null
  }

  get failure(): RenewalFailure | null {
    return this.#failure
  }

  /** Forgets a failure of this code. False where there is none. */
  pardon(code: ErrorCode): boolean {
    if (this.#failure?.error.code !== code) return false
    this.#failure = null
    return true
  }

  /** Epoch ms; `null` is never. */
  get nextRenewalAt(): number | null {
    return this.#failure === null ? (this.#held?.dueAt ?? null) : this.#failure.retryAt
  }

  /**
   * Last failure while it is too early for another attempt. A clock that was set back never delays requests for a day.
   */
  get pause(): RenewalFailure | null {
    const [failure, now] = [this.#failure, this.#options.clock.now()]
    const isTooEarly = failure !== null && failure.failedAt <= now && now < failure.retryAt
    return isTooEarly ? failure : null
  }

  /** True if a source holds a valid token other than those known to be bad or about to expire. */
  isNews(stored: StoredCredential, refused: string | null): boolean {
    const known = [refused, this.#failure?.spentToken, this.#held?.snapshot.token]
    if (stored.accessToken === null || known.includes(stored.accessToken)) return false
    const age = tokenAge(stored, this.#options.clock.now())
    if (age !== 'due') return age === 'fresh'
    if (refused !== null || this.current() === null) return true
    // Another gateway has renewed it, for minutes only.
    return (stored.expiresAt ?? 0) > (this.#held?.snapshot.expiresAt ?? Infinity)
  }

  /** Starts to use a token. `issuedAt` is known for tokens that were renewed just now. */
  adopt(stored: StoredCredential, issuedAt?: number): CredentialSnapshot {
    const { source, settings, log, onChange, random = Math.random, clock } = this.#options
    const { accessToken, expiresAt } = stored
    const now = clock.now()
    const dueAt =
      this.#options.isShared?.() === true && expiresAt !== null
        ? now + Math.max(0, expiresAt - now) / 2
        : dueAtOf(expiresAt, issuedAt)
    if (accessToken === null) throw new Error('a sign-in without token was adopted')
    const snapshot = toSnapshot(source.id, { ...stored, accessToken }, settings)
    this.#held = {
      stored,
      snapshot,
      dueAt: jittered(dueAt, expiresAt, random())
    }
    this.#failure = null
    this.#reported = 'usable'
    log.info({ source: source.name, expiresAt }, 'credentials ready')
    onChange()
    return snapshot
  }

  /**
   * Remembers a failure and returns it, to be thrown. A token that still works stays in use, unless it was
   * refused and cannot be renewed. What could never be renewed, such as an API key, stays in use in any case:
   * there is nothing that could replace it, and the refusal may pass.
   */
  fail(error: GatewayError, attempt: FailedAttempt): GatewayError {
    const { clock, log, source, onChange } = this.#options
    const { stored, refused } = attempt
    const isIrreplaceable = stored.refreshToken === null && this.current() !== null
    if (isIrreplaceable && error.code === 'GW_UPSTREAM_AUTH') return error
    const isNews = this.#failure?.error.message !== error.message
    const now = clock.now()
    const isInUse = refused === null && this.current() !== null
    this.#failure = failureAfter(this.#failure, error, { stored, refused, now, isInUse })
    const { isFinal, spentToken } = this.#failure
    if (isFinal && this.#held?.snapshot.token === spentToken) this.#held = null
    const { name } = this.state()
    const hasChanged = isNews || name !== this.#reported
    this.#reported = name
    if (hasChanged || Math.abs(now - this.#loggedAt) >= REMINDER_MS) {
      this.#loggedAt = now
      const level = name === 'dead' ? 'error' : 'warn'
      log[level]({ source: source.name, code: error.code, err: error }, 'credentials not renewed')
    }
    if (hasChanged) onChange()
    return error
  }
}

/**
 * State of the sign-in, for readiness and for the workers.
 *
 * ```
 *             ┌────── renewed, or a new sign-in ──────┐
 *             ▼                                       │
 *   waiting ──token──▶ usable ──expired──▶ waiting    │
 *                        │                   │        │
 *                        └─refused for good──┴──▶ dead┘
 * ```
 */
export type CredentialState =
  /** `problem` is why renewing fails at the moment, while the token still works. */
  | {
      readonly name: 'usable'
      readonly snapshot: CredentialSnapshot
      readonly problem: GatewayError | null
    }
  /** No valid token now; renewing goes on, after a failure from `retryAt` (epoch ms) on. */
  | { readonly name: 'waiting'; readonly problem: GatewayError | null; readonly retryAt: number }
  /** Only a new sign-in helps; the source is looked at from time to time. */
  | { readonly name: 'dead'; readonly problem: GatewayError }

/** The sign-in in use. */
interface HeldCredential {
  readonly stored: StoredCredential
  readonly snapshot: CredentialSnapshot
  /** Epoch ms from which on it is renewed in the background; `null` is never. */
  readonly dueAt: number | null
}

/** The last attempt to renew, if it failed. */
interface RenewalFailure {
  readonly error: GatewayError
  /** The refresh token is used up; only another one is worth an attempt. */
  readonly isFinal: boolean
  /** The sign-in that failed. */
  readonly stored: StoredCredential
  /** Failures in a row. */
  readonly count: number
  /** Epoch ms. */
  readonly failedAt: number
  /** Epoch ms before which the service is not asked again; callers get `error` until then. */
  readonly retryAt: number
  /** A token that the upstream refused and that must not come back. */
  readonly spentToken: string | null
}

const MAX_RETRY_DELAY_MS = 60_000
/** While the token in use still works, there is time. */
const IN_USE_RETRY_DELAY_MS = 30_000
const MAX_ASKED_DELAY_MS = 600_000
/** Interval at which the log repeats an unchanged failure. */
const REMINDER_MS = 600_000
/** Interval of checks of a dead sign-in's source. */
const DEAD_RETRY_DELAY_MS = 5_000

export interface FailedAttempt {
  readonly stored: StoredCredential
  /** The token that the upstream refused, if that was the reason for the attempt. */
  readonly refused: string | null
}

/** Builds the memory of a failed attempt, from the failures before it. */
function failureAfter(
  before: RenewalFailure | null,
  error: GatewayError,
  attempt: FailedAttempt & { readonly now: number; readonly isInUse: boolean }
): RenewalFailure {
  const { stored, refused, now, isInUse } = attempt
  const isFinal = isFinalRefusal(error)
  const count = (before?.count ?? 0) + 1
  const leastMs = isInUse ? IN_USE_RETRY_DELAY_MS : 0
  // The wait for another gateway has a known length.
  const knownS = error.code === 'GW_NOT_READY' ? error.retryAfterS : undefined
  const delayMs =
    knownS === undefined ? Math.max(retryDelayMs(error, count), leastMs) : knownS * 1000
  const retryAt = now + (isFinal ? DEAD_RETRY_DELAY_MS : delayMs)
  const spentToken = (isFinal ? refused : null) ?? before?.spentToken ?? null
  return { error, isFinal, stored, count, failedAt: now, retryAt, spentToken }
}

/** Delay after so many failures in a row: 1, 2, 4 … 60 s, or what the service asked for. */
function retryDelayMs(error: GatewayError, count: number): number {
  const askedMs = Math.min((error.retryAfterS ?? 0) * 1000, MAX_ASKED_DELAY_MS)
  return Math.max(askedMs, Math.min(1000 * 2 ** Math.min(count - 1, 10), MAX_RETRY_DELAY_MS))
}

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

/** However short a token is said to live: it must not be renewed without a pause. */
const MIN_LIFE_MS = 500

/** When a token that was issued now for so many seconds is to be thought of as expired. */
export function expiryOf(expiresInS: number, now: number): number {
  const lifeMs = expiresInS * 1000
  return now + Math.max(lifeMs - SKEW_MS, lifeMs / 2, MIN_LIFE_MS)
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

/** Later by up to a tenth of what is left then. `chance` is from 0 to 1. */
function jittered(dueAt: number | null, expiresAt: number | null, chance: number): number | null {
  if (dueAt === null || expiresAt === null) return dueAt
  return dueAt + Math.round((expiresAt - dueAt) * 0.1 * chance)
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

/** `PROFILE_ARN` and `KIRO_API_REGION` are used where the sign-in does not name its own. */
type SnapshotSettings = Pick<Config['credentials'], 'profileArn' | 'apiRegion'>

/** Builds the part of a sign-in for workers: no refresh token, no client secret. */
export function toSnapshot(
  id: string,
  stored: StoredCredential & { readonly accessToken: string },
  settings: SnapshotSettings
): CredentialSnapshot {
  const { authType, accessToken, expiresAt, ssoRegion } = stored
  const profileArn = stored.profileArn ?? settings.profileArn
  return {
    id,
    token: accessToken,
    tokenType: tokenTypeOf(authType),
    authType,
    profileArn,
    apiRegion: resolveApiRegion({
      explicit: stored.apiRegion ?? settings.apiRegion,
      profileArn,
      ssoRegion
    }),
    expiresAt
  }
}

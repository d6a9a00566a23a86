import type { Config } from '../config/settings.ts'
import type { AuthType, CredentialSnapshot, TokenType } from '../kiro/wire/credential-snapshot.ts'
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
  readonly onChange: () => void
  /** From 0 to 1; spreads the renewals of gateways with one sign-in. */
  readonly random?: () => number
  /** A shared sign-in is renewed at half its life, so that it survives an outage of the Valkey that it is shared by. */
  readonly isShared?: () => boolean
}

/** State of the sign-in: the token in use and the last failed renewal. No I/O. */
export class SignIn {
  readonly #options: SignInOptions
  #held: HeldCredential | null = null
  #failure: RenewalFailure | null = null
  #reported: CredentialState['name'] = 'waiting'
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

  current(): CredentialSnapshot | null {
    const state = this.state()
    return state.name === 'usable' ? state.snapshot : null
  }

  get stored(): StoredCredential | null {
    return this.#held?.stored ?? null
  }

  get failure(): RenewalFailure | null {
    return this.#failure
  }

  pardon(code: ErrorCode): boolean {
    if (this.#failure?.error.code !== code) return false
    this.#failure = null
    return true
  }

  /** Epoch ms; `null` is never. */
  get nextRenewalAt(): number | null {
    return this.#failure === null ? (this.#held?.dueAt ?? null) : this.#failure.retryAt
  }

  /** Last failure while another attempt is too early. A clock set back never delays requests for a day. */
  get pause(): RenewalFailure | null {
    const [failure, now] = [this.#failure, this.#options.clock.now()]
    const isTooEarly = failure !== null && failure.failedAt <= now && now < failure.retryAt
    return isTooEarly ? failure : null
  }

  /** True for a valid token that is neither known to be bad nor about to expire. */
  isNews(stored: StoredCredential, refused: string | null): boolean {
    const known = [refused, this.#failure?.spentToken, this.#held?.snapshot.token]
    if (stored.accessToken === null || known.includes(stored.accessToken)) return false
    const age = tokenAge(stored, this.#options.clock.now())
    if (age !== 'due') return age === 'fresh'
    if (refused !== null || this.current() === null) return true
    // Another gateway has renewed it, for minutes only.
    return (stored.expiresAt ?? 0) > (this.#held?.snapshot.expiresAt ?? Infinity)
  }

  /** `issuedAt` is known for tokens renewed just now. */
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

  /** Records a failure. A working token stays unless it was refused and can be renewed: the refusal may pass. */
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
 * State of the sign-in, for readiness and workers.
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
  | {
      readonly name: 'usable'
      readonly snapshot: CredentialSnapshot
      readonly problem: GatewayError | null
    }
  /** No valid token. `retryAt` is epoch ms. */
  | { readonly name: 'waiting'; readonly problem: GatewayError | null; readonly retryAt: number }
  /** Only a new sign-in helps; the source is polled for one. */
  | { readonly name: 'dead'; readonly problem: GatewayError }

interface HeldCredential {
  readonly stored: StoredCredential
  readonly snapshot: CredentialSnapshot
  readonly dueAt: number | null
}

interface RenewalFailure {
  readonly error: GatewayError
  /** The refresh token is used up; only another one is worth an attempt. */
  readonly isFinal: boolean
  readonly stored: StoredCredential
  readonly count: number
  readonly failedAt: number
  /** Epoch ms until which callers get `error`. */
  readonly retryAt: number
  /** Refused by the upstream; must not be adopted again. */
  readonly spentToken: string | null
}

const MAX_RETRY_DELAY_MS = 60_000
/** Longer, because the token in use still works. */
const IN_USE_RETRY_DELAY_MS = 30_000
const MAX_ASKED_DELAY_MS = 600_000
const REMINDER_MS = 600_000
const DEAD_RETRY_DELAY_MS = 5_000

export interface FailedAttempt {
  readonly stored: StoredCredential
  readonly refused: string | null
}

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

/** 1, 2, 4 … 60 s, or as long as the service asked. */
function retryDelayMs(error: GatewayError, count: number): number {
  const askedMs = Math.min((error.retryAfterS ?? 0) * 1000, MAX_ASKED_DELAY_MS)
  return Math.max(askedMs, Math.min(1000 * 2 ** Math.min(count - 1, 10), MAX_RETRY_DELAY_MS))
}

const REFRESH_AHEAD_MS = 600_000
/** Clock differences and time on the way. */
const SKEW_MS = 60_000

/** `due` is used while it is renewed in the background; `expired` must be renewed first. */
export type TokenAge = 'fresh' | 'due' | 'expired'

/** An unknown expiry is trusted only if nothing can be renewed. */
export function tokenAge(stored: StoredCredential, now: number): TokenAge {
  const { accessToken, expiresAt, refreshToken } = stored
  if (accessToken === null) return 'expired'
  if (expiresAt === null) return refreshToken === null ? 'fresh' : 'expired'
  if (expiresAt <= now) return 'expired'
  return expiresAt - REFRESH_AHEAD_MS <= now ? 'due' : 'fresh'
}

/** Minimum between renewals, however short-lived the tokens. */
const MIN_LIFE_MS = 500

export function expiryOf(expiresInS: number, now: number): number {
  const lifeMs = expiresInS * 1000
  return now + Math.max(lifeMs - SKEW_MS, lifeMs / 2, MIN_LIFE_MS)
}

/** Epoch ms; `null` is never. Short-lived tokens are renewed at half their life, or renewal would never stop. */
export function dueAtOf(expiresAt: number | null, issuedAt?: number): number | null {
  if (expiresAt === null) return null
  const ahead = expiresAt - REFRESH_AHEAD_MS
  return issuedAt === undefined ? ahead : Math.max(ahead, issuedAt + (expiresAt - issuedAt) / 2)
}

/** Adds up to a tenth of the remaining life. `chance` is from 0 to 1. */
function jittered(dueAt: number | null, expiresAt: number | null, chance: number): number | null {
  if (dueAt === null || expiresAt === null) return dueAt
  return dueAt + Math.round((expiresAt - dueAt) * 0.1 * chance)
}

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

type SnapshotSettings = Pick<Config['credentials'], 'profileArn' | 'apiRegion'>

/** Contains no refresh token and no client secret. */
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

export function tokenTypeOf(authType: AuthType): TokenType {
  if (authType === 'api-key') return 'API_KEY'
  return authType === 'external-idp' ? 'EXTERNAL_IDP' : 'none'
}

import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import type { Bar, Remedy } from '../../kiro/wire/fault-table.ts'
import type { FormSign } from '../../kiro/wire/hosts.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import type { ErrorCode, GatewayError } from '../../shared/errors.ts'
import { isConnectFailure } from '../classify.ts'

/** Facts about a failure that the policy needs: a `GatewayError` and an `UpstreamFault` both fit. */
export interface RetryCause {
  readonly code: ErrorCode
  readonly retryAfterS?: number | null | undefined
  readonly remedy?: Remedy
}

export interface RetrySituation {
  /** Attempts made so far, from 1. Those after a forced token refresh are not counted. */
  readonly attempt: number
  /** True if the live catalogue has the model, so that its denial is the upstream's mistake. */
  readonly isModelListed: boolean
}

export interface RetryLimits {
  /** Attempts in all. */
  readonly maxAttempts: number
  /** Attempts in all when the answer does not begin in time. */
  readonly firstTokenMaxRetries: number
  /** `RetryBudget.hasOne` */
  readonly hasBudget: boolean
  /** From 0 up to, not including, 1. */
  readonly random: number
}

const FIRST_DELAY_MS = 1000
const FIRST_MODEL_DELAY_MS = 500
const MAX_DELAY_MS = 60_000
const JITTER = 0.25
/** A user's own rate recovers in so many seconds, where the refusal does not say when. */
const USER_RATE_S = 10
/** Waited for at most for a user's own rate, which is not worth a long wait. */
const MAX_WAIT_ONCE_MS = 15_000

/**
 * Milliseconds until the same request is sent again, or `null` if it must not be (kiro-protocol §8.3). Remedies that
 * change the request (another token, ARN, host or conversation id) are their callers' business, too.
 */
export function decideRetry(
  cause: RetryCause,
  situation: RetrySituation,
  limits: RetryLimits
): number | null {
  const { attempt } = situation
  if (!limits.hasBudget || attempt >= maxAttemptsFor(cause, situation, limits)) return null
  const firstMs = cause.remedy === 'retry-model' ? FIRST_MODEL_DELAY_MS : FIRST_DELAY_MS
  const backOffMs = firstMs * 2 ** (attempt - 1) * (1 + JITTER * limits.random)
  const isWaitOnce = cause.remedy === 'wait-once'
  const askedMs = (cause.retryAfterS ?? (isWaitOnce ? USER_RATE_S : 0)) * 1000
  // Earlier is not allowed, and clients do not wait that long.
  if (askedMs > (isWaitOnce ? MAX_WAIT_ONCE_MS : MAX_DELAY_MS)) return null
  return Math.min(Math.max(backOffMs, askedMs), MAX_DELAY_MS)
}

function maxAttemptsFor(cause: RetryCause, situation: RetrySituation, limits: RetryLimits): number {
  const { code, remedy } = cause
  if (ErrorTable[code].retry === 'never' && remedy !== 'retry-model') return 1
  if (code === 'GW_UPSTREAM_HEADERS_TIMEOUT') return limits.firstTokenMaxRetries
  if (remedy === undefined || remedy === 'back-off') return limits.maxAttempts
  if (remedy === 'retry-once' || remedy === 'wait-once') return Math.min(limits.maxAttempts, 2)
  return remedy === 'retry-model' && situation.isModelListed ? limits.maxAttempts : 1
}

const MINUTE_MS = 60_000
const HOUR_MS = 60 * MINUTE_MS
const DAY_MS = 24 * HOUR_MS

/**
 * Milliseconds for which the account is not asked after a refusal; 0 if it may be asked at once (kiro-protocol §8.8).
 * `suspicions`: how many there were before this refusal within a day.
 */
export function barMs(
  { bar, retryAfterS }: { readonly bar: Bar; readonly retryAfterS: number | null },
  suspicions: number
): number {
  const askedMs = retryAfterS === null ? null : retryAfterS * 1000
  switch (bar) {
    case 'monthly': // unless the reset is known
    case 'daily':
    case 'unnamed':
    case 'not-admitted':
      return HOUR_MS
    case 'hourly':
      return 15 * MINUTE_MS
    case 'credit-rate':
      return askedMs ?? 5 * MINUTE_MS
    case 'user-rate':
      return askedMs ?? USER_RATE_S * 1000
    case 'rate':
      return askedMs ?? 0
    case 'suspicion':
      return Math.min(DAY_MS, 30 * MINUTE_MS * 2 ** suspicions)
  }
}

/** True if requests wait until a bar is over; otherwise they are refused at once. */
export function isWaitedFor(bar: Bar, ms: number): boolean {
  return ['credit-rate', 'user-rate', 'rate'].includes(bar) && ms <= MAX_DELAY_MS
}

/** Retries of all workers that are there at the start and come back within a minute, however little is going on. */
const MINIMUM = 10
const REFILL_MS = 60_000

/**
 * Bounds the retries of one worker to a share of its traffic, so that they never make an outage worse: a bucket that
 * holds at most its part of `MINIMUM` plus what a hundred requests earn.
 */
export class RetryBudget {
  readonly #percent: number
  readonly #minimum: number
  readonly #now: () => number
  #left: number
  #refilledAt: number

  /** `percent` is how many retries a hundred requests earn; `now` gives monotonic milliseconds. */
  constructor(percent: number, workers = 1, now = () => performance.now()) {
    this.#percent = percent
    this.#minimum = Math.max(1, MINIMUM / workers)
    this.#left = this.#minimum
    this.#now = now
    this.#refilledAt = now()
  }

  /** A request came in; its first attempt earns a part of a retry. */
  earn(): void {
    this.#left = Math.min(this.#minimum + this.#percent, this.#left + this.#percent / 100)
  }

  /** A retry is left. */
  get hasOne(): boolean {
    this.#refill()
    return this.#left >= 1
  }

  /** Takes one retry. False, and nothing is taken, if none is left. */
  spend(): boolean {
    if (!this.hasOne) return false
    this.#left -= 1
    return true
  }

  /** Time gives back only up to the minimum; what is above it has to be earned. */
  #refill(): void {
    const now = this.#now()
    const back = ((now - this.#refilledAt) / REFILL_MS) * this.#minimum
    this.#refilledAt = now
    if (this.#left < this.#minimum) this.#left = Math.min(this.#minimum, this.#left + back)
  }
}

/** Differences of a call from the plain one. Each change is made at most once, or once for each host. */
export interface Approach {
  readonly hostIndex: number
  readonly isWithoutProfile: boolean
  readonly hasRenewedToken: boolean
  readonly isNewConversation: boolean
  /** Written in the other form of request than the first call. */
  readonly isOtherForm: boolean
}

export const PLAIN_APPROACH: Approach = {
  hostIndex: 0,
  isWithoutProfile: false,
  hasRenewedToken: false,
  isNewConversation: false,
  isOtherForm: false
}

export interface ApproachFailure {
  readonly error: GatewayError
  /** The upstream's advice, if it answered at all. */
  readonly remedy: Remedy | null
  /** Its reason is the token, and the upstream has said so. */
  readonly isTokenNamed?: boolean
  /** Sign of a wrong form of request in the refusal; left out where there is none. */
  readonly formSign?: FormSign | null
}

/** Converts a failure with the upstream's answer, if there was one. */
export function toApproachFailure(
  error: GatewayError,
  fault: UpstreamFault | null
): ApproachFailure {
  if (fault === null) return { error, remedy: null }
  const { remedy, isTokenNamed } = fault
  return { error, remedy, isTokenNamed, formSign: formSignOf(fault) }
}

/** Sign that a refusal may be about the request's form (kiro-protocol §1.5 rule 3). */
export function formSignOf(
  fault: Pick<UpstreamFault, 'status' | 'reason' | 'type'> & { readonly remedy?: Remedy }
): FormSign | null {
  const { status, reason, type, remedy } = fault
  if (remedy === 'drop-fields') return null // it says what it is about
  if (status === 404) return 'operation'
  if (status >= 400 && status < 500 && /unknownoperation/i.test(type)) return 'operation'
  return status === 400 && reason?.toUpperCase() === 'REQUEST_BODY_INVALID' ? 'body' : null
}

export interface ApproachMeans {
  readonly hosts: number
  /** The account has a profile ARN of its own. */
  readonly hasProfile: boolean
  /** The refused request may be written in the other form. */
  readonly hasOtherForm: boolean
}

/**
 * Another approach that may succeed where the last one failed (kiro-protocol §1.2, §3.9, §8.2), or `null`. Such calls
 * are no retries: the request itself is different.
 */
export function nextApproach(
  approach: Approach,
  { error, remedy }: ApproachFailure,
  { hosts, hasProfile, hasOtherForm }: ApproachMeans
): Approach | null {
  if (hasOtherForm && !approach.isOtherForm) return { ...approach, isOtherForm: true }
  const canMove = approach.hostIndex + 1 < hosts
  const moved = canMove ? { ...approach, hostIndex: approach.hostIndex + 1 } : null
  switch (remedy) {
    case 'refresh-token':
      return approach.hasRenewedToken ? null : { ...approach, hasRenewedToken: true }
    case 'drop-profile':
      if (approach.isWithoutProfile) return null
      return { ...approach, isWithoutProfile: true }
    case 'new-conversation':
      return approach.isNewConversation ? null : { ...approach, isNewConversation: true }
    case 'add-profile':
      return hasProfile ? null : moved
    case 'next-host':
      return moved
    case null:
      return isConnectFailure(error) ? moved : null
    case 'none':
    case 'back-off':
    case 'retry-once':
    case 'wait-once':
    case 'retry-model':
    case 'other-form':
    case 'strip-reasoning':
    case 'drop-fields':
      break
  }
  return null
}

import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import type { Bar, Remedy } from '../../kiro/wire/fault-table.ts'
import type { FormSign } from '../../kiro/wire/hosts.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import type { ErrorCode, GatewayError } from '../../shared/errors.ts'
import { isConnectFailure } from '../classify.ts'

export interface RetryCause {
  readonly code: ErrorCode
  readonly retryAfterS?: number | null | undefined
  readonly remedy?: Remedy
}

export interface RetrySituation {
  readonly attempt: number
  /** The live catalogue has the model: its denial is a mistake. */
  readonly isModelListed: boolean
}

export interface RetryLimits {
  readonly maxAttempts: number
  /** Attempts if the answer does not begin in time. */
  readonly firstTokenMaxRetries: number
  readonly hasBudget: boolean
  readonly random: number
}

const FIRST_DELAY_MS = 1000
const FIRST_MODEL_DELAY_MS = 500
const MAX_DELAY_MS = 60_000
const JITTER = 0.25
/** Seconds after which a user's own rate recovers, if the refusal does not say. */
const USER_RATE_S = 10
const MAX_WAIT_ONCE_MS = 15_000

/** Milliseconds until the same request is sent again; `null`: never (kiro-protocol §8.3). */
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

/** Milliseconds without questions to the account (kiro-protocol §8.8). `suspicions`: earlier ones within a day. */
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

/** Requests wait for such a bar; otherwise they are refused at once. */
export function isWaitedFor(bar: Bar, ms: number): boolean {
  return ['credit-rate', 'user-rate', 'rate'].includes(bar) && ms <= MAX_DELAY_MS
}

/** Retries of all workers at the start, regained within a minute, whatever the traffic. */
const MINIMUM = 10
const REFILL_MS = 60_000

/**
 * Bounds retries to a share of the traffic, so that they never worsen an outage: a bucket for `MINIMUM` and
 * a hundred requests' earnings.
 */
export class RetryBudget {
  readonly #percent: number
  readonly #minimum: number
  readonly #now: () => number
  #left: number
  #refilledAt: number

  /** `percent`: retries per hundred requests; `now`: monotonic milliseconds. */
  constructor(percent: number, workers = 1, now = () => performance.now()) {
    this.#percent = percent
    this.#minimum = Math.max(1, MINIMUM / workers)
    this.#left = this.#minimum
    this.#now = now
    this.#refilledAt = now()
  }

  earn(): void {
    this.#left = Math.min(this.#minimum + this.#percent, this.#left + this.#percent / 100)
  }

  get hasOne(): boolean {
    this.#refill()
    return this.#left >= 1
  }

  spend(): boolean {
    if (!this.hasOne) return false
    this.#left -= 1
    return true
  }

  /** Time refills only up to the minimum; the rest must be earned. */
  #refill(): void {
    const now = this.#now()
    const back = ((now - this.#refilledAt) / REFILL_MS) * this.#minimum
    this.#refilledAt = now
    if (this.#left < this.#minimum) this.#left = Math.min(this.#minimum, this.#left + back)
  }
}

export interface Approach {
  readonly hostIndex: number
  readonly isWithoutProfile: boolean
  readonly hasRenewedToken: boolean
  readonly isNewConversation: boolean
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
  readonly remedy: Remedy | null
  readonly isTokenNamed?: boolean
  readonly formSign?: FormSign | null
}

export function toApproachFailure(
  error: GatewayError,
  fault: UpstreamFault | null
): ApproachFailure {
  if (fault === null) return { error, remedy: null }
  const { remedy, isTokenNamed } = fault
  return { error, remedy, isTokenNamed, formSign: formSignOf(fault) }
}

/** See kiro-protocol §1.5 rule 3. */
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
  readonly hasProfile: boolean
  readonly hasOtherForm: boolean
}

/** Finds a changed call that may succeed (kiro-protocol §1.2, §3.9, §8.2). It is not a retry. */
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

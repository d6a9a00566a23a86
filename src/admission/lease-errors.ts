import { abortErrorOf, GatewayError } from '../shared/errors.ts'
import type { LeaseCore } from './lease-core.ts'

/** What was going on when a request could not have a permit. */
export interface PoolState {
  /** `null` without limit. */
  readonly budget: number | null
  readonly inUse: number
  readonly waiting: number
  readonly waitedMs: number
  readonly retryAfterS: number
}

/** `rate` is how fast permits have been coming free in this worker. */
export function poolStateOf(
  { held, waiting, terms }: LeaseCore,
  { arrivedAt, now, rate }: { arrivedAt: number; now: number; rate: DrainRate }
): PoolState {
  return {
    budget: terms.budget,
    inUse: held + terms.elsewhere.leased,
    waiting: waiting + terms.elsewhere.waiting,
    waitedMs: now - arrivedAt,
    retryAfterS: rate.retryAfterS(waiting, now)
  }
}

/** HTTP_POOL_TIMEOUT has passed. */
export function poolTimeout(state: PoolState, poolTimeoutMs: number): GatewayError {
  const message =
    `PoolTimeout: no upstream connection became free within HTTP_POOL_TIMEOUT=${poolTimeoutMs / 1000}s: ` +
    `${describe(state)}, waited ${seconds(state.waitedMs)}. ` +
    'Raise HTTP_MAX_CONNECTIONS (more at once) or HTTP_POOL_TIMEOUT (longer waits).'
  return new GatewayError('GW_POOL_TIMEOUT', undefined, {
    message,
    retryAfterS: state.retryAfterS
  })
}

/** HTTP_POOL_MAX_WAITING requests wait already. */
export function queueFull(state: PoolState, maxWaiting: number): GatewayError {
  const message =
    `Too many requests wait for an upstream connection already: ${describe(state)} ` +
    `(this worker may queue ${maxWaiting}), waited ${seconds(state.waitedMs)}. ` +
    'Raise HTTP_MAX_CONNECTIONS (more at once) or HTTP_POOL_MAX_WAITING (a longer queue).'
  return new GatewayError('GW_QUEUE_FULL', undefined, { message, retryAfterS: state.retryAfterS })
}

/** The client left while it waited, or `signal` says why else the wait is over. */
export function clientClosed(signal: AbortSignal): GatewayError {
  return abortErrorOf(signal, 'while waiting for a connection')
}

function describe({ budget, inUse, waiting }: PoolState): string {
  return `${inUse} of ${budget ?? 'unlimited'} connections in use, ${waiting} requests waiting`
}

function seconds(ms: number): string {
  return `${Math.round(ms / 10) / 100}s`
}

/** Over how long the rate is averaged; older releases fade. */
const WINDOW_MS = 30_000
const UNKNOWN_RETRY_S = 5
const LONGEST_RETRY_S = 60

/** How fast permits have been coming free lately: what `retry-after` is computed from. */
export class DrainRate {
  #weight = 0
  #since: number | null = null
  #at = 0

  note(now: number): void {
    this.#since ??= now
    this.#weight = this.#faded(now) + 1
    this.#at = now
  }

  /** Permits per second; 0 if none came free within memory. */
  perSecond(now: number): number {
    if (this.#since === null) return 0
    const covered = WINDOW_MS * (1 - Math.exp(-Math.max(now - this.#since, 1000) / WINDOW_MS))
    return (this.#faded(now) / covered) * 1000
  }

  /** Seconds until `ahead` others have probably been served, from 1 to 60. */
  retryAfterS(ahead: number, now: number): number {
    const rate = this.perSecond(now)
    if (rate < 1 / WINDOW_MS) return UNKNOWN_RETRY_S
    return Math.min(LONGEST_RETRY_S, Math.max(1, Math.ceil((ahead + 1) / rate)))
  }

  #faded(now: number): number {
    return this.#weight * Math.exp(-Math.max(0, now - this.#at) / WINDOW_MS)
  }
}

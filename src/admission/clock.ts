export interface Clock {
  readonly now: () => number
  readonly setTimeout: (onTime: () => void, delayMs: number) => () => void
  readonly setImmediate: (onTurn: () => void) => void
}

export const SYSTEM_CLOCK: Clock = {
  now: monotonicNow,
  setTimeout: (onTime, delayMs) => {
    const timer = setTimeout(onTime, delayMs)
    return () => clearTimeout(timer)
  },
  setImmediate: (onTurn) => void setImmediate(onTurn)
}

/** Ms of the machine's monotonic clock, equal in all processes, unlike `Date.now()` and `performance.now()`. */
export function monotonicNow(): number {
  return ORIGIN + performance.now()
}

/** The machine's clock when `performance.now()` was 0. */
const ORIGIN = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/**
 * Time that one request has waited for connections, over all attempts and since its arrival. Starts out waiting.
 *
 * ```
 *   arrival ──waiting──▶ stop ──attempt fails──▶ resume ──waiting──▶ stop …
 * ```
 */
export class WaitClock {
  #since: number
  #stoppedAt: number | null = null

  constructor(arrivedAt: number) {
    this.#since = arrivedAt
  }

  /** Returns when the wait would have begun without interruptions: `AcquireOptions.arrivedAt`. */
  resume(now: number): number {
    if (this.#stoppedAt !== null) this.#since += now - this.#stoppedAt
    this.#stoppedAt = null
    return this.#since
  }

  stop(now: number): void {
    this.#stoppedAt ??= now
  }
}

/** Node fires longer delays at once. */
export const LONGEST_DELAY_MS = 2 ** 31 - 1

/** One timer for many deadlines. It may fire before the earliest, never after. */
export class DeadlineTimer {
  readonly #clock: Clock
  readonly #onTime: () => void
  #armed: { readonly at: number; readonly cancel: () => void } | null = null

  constructor(clock: Clock, onTime: () => void) {
    this.#clock = clock
    this.#onTime = onTime
  }

  aim(at: number | null): void {
    if (this.#armed !== null) {
      if (at !== null && this.#armed.at <= at) return
      this.#armed.cancel()
      this.#armed = null
    }
    if (at === null) return
    const delayMs = Math.min(LONGEST_DELAY_MS, Math.max(1, Math.ceil(at - this.#clock.now())))
    const cancel = this.#clock.setTimeout(() => {
      this.#armed = null
      this.#onTime()
    }, delayMs)
    this.#armed = { at, cancel }
  }
}

const WINDOW_MS = 30_000
const UNKNOWN_RETRY_S = 5
const LONGEST_RETRY_S = 60

/** Recent rate at which permits came free, for `retry-after`. */
export class DrainRate {
  #weight = 0
  #since: number | null = null
  #at = 0

  note(now: number): void {
    this.#since ??= now
    this.#weight = this.#faded(now) + 1
    this.#at = now
  }

  /** Permits per second; 0 if none came free lately. */
  perSecond(now: number): number {
    if (this.#since === null) return 0
    const covered = WINDOW_MS * (1 - Math.exp(-Math.max(now - this.#since, 1000) / WINDOW_MS))
    return (this.#faded(now) / covered) * 1000
  }

  /** Estimated wait behind `ahead` others, from 1 to 60. */
  retryAfterS(ahead: number, now: number): number {
    const rate = this.perSecond(now)
    if (rate < 1 / WINDOW_MS) return UNKNOWN_RETRY_S
    return Math.min(LONGEST_RETRY_S, Math.max(1, Math.ceil((ahead + 1) / rate)))
  }

  #faded(now: number): number {
    return this.#weight * Math.exp(-Math.max(0, now - this.#at) / WINDOW_MS)
  }
}

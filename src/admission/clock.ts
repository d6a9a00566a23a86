/** Time as the admission code sees it; replaceable, so that tests need not wait. */
export interface Clock {
  /** Milliseconds, comparable in all processes of the machine. */
  readonly now: () => number
  /** Returns what cancels it. */
  readonly setTimeout: (onTime: () => void, delayMs: number) => () => void
  /** Runs a function once the current turn of the event loop is done. */
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

/**
 * Milliseconds of the machine's monotonic clock: never steps, and is the same in all processes of this
 * machine, which neither `Date.now()` nor `performance.now()` is. Arrival times are taken from it, so that
 * the oldest waiter of the whole cluster can be found.
 */
export function monotonicNow(): number {
  return ORIGIN + performance.now()
}

/** Reading of the machine's clock when this process's `performance.now()` was 0. */
const ORIGIN = Number(process.hrtime.bigint()) / 1e6 - performance.now()

/**
 * Time that one request has waited for connections, over all its attempts. The first wait counts from the request's
 * arrival; the time that it held a permit does not count. Starts out waiting.
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

  /** The wait goes on. Returns when it would have begun, had it never been interrupted: `AcquireOptions.arrivedAt`. */
  resume(now: number): number {
    if (this.#stoppedAt !== null) this.#since += now - this.#stoppedAt
    this.#stoppedAt = null
    return this.#since
  }

  /** The wait is over, for now. */
  stop(now: number): void {
    this.#stoppedAt ??= now
  }
}

/** Node fires a longer delay at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1

/** One timer for many deadlines: it is aimed at the earliest, and may go off before that one, never after. */
export class DeadlineTimer {
  readonly #clock: Clock
  readonly #onTime: () => void
  #armed: { readonly at: number; readonly cancel: () => void } | null = null

  constructor(clock: Clock, onTime: () => void) {
    this.#clock = clock
    this.#onTime = onTime
  }

  /** `null` when nothing is due any more. A timer that is early already stays as it is. */
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

/** Over how long the rate is averaged; older releases fade. */
const WINDOW_MS = 30_000
const UNKNOWN_RETRY_S = 5
const LONGEST_RETRY_S = 60

/** Recent rate at which permits came free, from which `retry-after` is computed. */
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

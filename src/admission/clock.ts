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

/** What the machine's clock showed when this process's `performance.now()` was 0. */
const ORIGIN = machineTime() - performance.now()

function machineTime(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/**
 * How long one request has waited for connections, over all its attempts. The first wait counts from the request's
 * arrival; the time that it held a permit counts not at all. Starts out waiting.
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

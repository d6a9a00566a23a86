import type { WallClock } from './renew.ts'

/** Timers do not count while a machine sleeps, so none is longer than this. */
const MAX_TIMER_MS = 60_000
/** Whatever goes wrong, nothing is renewed in a tight loop. */
const MIN_TIMER_MS = 1000

/**
 * An alarm for a point of wall-clock time; at most one is set. It goes off, too, when the clock was put back: the point may
 * be a day away then. Never keeps the process alive.
 */
export class RenewalTimer {
  readonly #clock: WallClock
  readonly #onDue: () => void
  #cancel: (() => void) | null = null

  constructor(clock: WallClock, onDue: () => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  /** Replaces the alarm; a time in the past means soon, `null` means never. */
  set(at: number | null): void {
    this.clear()
    if (at === null) return
    const setAt = this.#clock.now()
    const delayMs = Math.min(Math.max(at - setAt, MIN_TIMER_MS), MAX_TIMER_MS)
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = null
      const now = this.#clock.now()
      if (setAt <= now && now < at) this.set(at)
      else this.#onDue()
    })
  }

  clear(): void {
    this.#cancel?.()
    this.#cancel = null
  }
}

const MAX_FORCED = 5
const WINDOW_MS = 60_000

/**
 * At most five forced refreshes a minute. An upstream that refuses every new token would otherwise have each
 * request fetch another one.
 */
export class ForcedRefreshLimit {
  /** Bounded by MAX_FORCED. */
  #times: readonly number[] = []

  /** Counts one. False, and nothing is counted, if there were too many. */
  allow(now: number): boolean {
    const recent = this.#times.filter((time) => Math.abs(now - time) < WINDOW_MS)
    const isAllowed = recent.length < MAX_FORCED
    this.#times = isAllowed ? [...recent, now] : recent
    return isAllowed
  }
}

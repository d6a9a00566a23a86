import type { WallClock } from './renew.ts'

/** Timers stop while a machine sleeps. */
const MAX_TIMER_MS = 60_000
const MIN_TIMER_MS = 1000

/** Alarm for a point of wall-clock time. Also fires when the clock was set back. Does not keep the process alive. */
export class RenewalTimer {
  readonly #clock: WallClock
  readonly #onDue: () => void
  #cancel: (() => void) | null = null

  constructor(clock: WallClock, onDue: () => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  /** A past time means soon; `null` means never. */
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

/** Limits forced renewals, which an upstream that refuses every new token would otherwise cause with each request. */
export class ForcedRefreshLimit {
  /** Bounded by MAX_FORCED. */
  #times: readonly number[] = []

  allow(now: number): boolean {
    const recent = this.#times.filter((time) => Math.abs(now - time) < WINDOW_MS)
    const isAllowed = recent.length < MAX_FORCED
    this.#times = isAllowed ? [...recent, now] : recent
    return isAllowed
  }
}

const MINUTE_MS = 60_000

/** Limits new Kiro keys of clients over all workers in any minute (`KIRO_KEY_NEW_PER_MINUTE`). */
export class KeyTrialPace {
  readonly #perMinute: () => number
  readonly #now: () => number
  /** When trials of the last minute began, the oldest first. Bounded by the setting. */
  #begun: number[] = []

  /** `now` gives milliseconds on a clock that never goes back. */
  constructor(perMinute: () => number, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute
    this.#now = now
  }

  /** Begins a trial and gives 0, or gives the milliseconds until one may begin. */
  take(): number {
    const now = this.#now()
    const isOver = (at: number): boolean => at <= now - MINUTE_MS
    while (this.#begun[0] !== undefined && isOver(this.#begun[0])) this.#begun.shift()
    // The setting may be lower than it was.
    const last = this.#begun.at(-this.#perMinute())
    if (last !== undefined) return last + MINUTE_MS - now
    this.#begun.push(now)
    return 0
  }
}

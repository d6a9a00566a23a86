const MINUTE_MS = 60_000

/** Limits clients' new Kiro keys over all workers (`KIRO_KEY_NEW_PER_MINUTE`). */
export class KeyTrialPace {
  readonly #perMinute: () => number
  readonly #now: () => number
  /** Oldest first. Bounded by the setting. */
  #begun: number[] = []

  /** `now` returns monotonic ms. */
  constructor(perMinute: () => number, now: () => number = () => performance.now()) {
    this.#perMinute = perMinute
    this.#now = now
  }

  /** Begins a trial and returns 0, or returns the ms until one may begin. */
  take(): number {
    const now = this.#now()
    const isOver = (at: number): boolean => at <= now - MINUTE_MS
    while (this.#begun[0] !== undefined && isOver(this.#begun[0])) this.#begun.shift()
    const last = this.#begun.at(-this.#perMinute())
    if (last !== undefined) return last + MINUTE_MS - now
    this.#begun.push(now)
    return 0
  }
}

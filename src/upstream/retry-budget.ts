export interface RetryBudgetOptions {
  /** Retries earned by a hundred requests. */
  readonly percent: number
  /** Retries that are there at the start and come back within a minute, however little is going on. */
  readonly minimum?: number
  /** Monotonic milliseconds. */
  readonly now: () => number
}

const REFILL_MS = 60_000

/**
 * Bounds retries to a share of the traffic, so that they never make an outage worse: a bucket that holds at
 * most `minimum` retries plus what a hundred requests earn. `left` is never negative.
 */
export class RetryBudget {
  readonly #earned: number
  readonly #minimum: number
  readonly #capacity: number
  readonly #now: () => number
  #left: number
  #refilledAt: number

  constructor({ percent, minimum = 10, now }: RetryBudgetOptions) {
    this.#earned = percent / 100
    this.#minimum = minimum
    this.#capacity = minimum + percent
    this.#now = now
    this.#left = minimum
    this.#refilledAt = now()
  }

  /** Retries that may be made now. */
  get left(): number {
    this.#refill()
    return this.#left
  }

  /** A request came in; its first attempt earns a part of a retry. */
  earn(): void {
    this.#left = Math.min(this.#capacity, this.#left + this.#earned)
  }

  /** Takes one retry. False, and nothing is taken, if none is left. */
  spend(): boolean {
    this.#refill()
    if (this.#left < 1) return false
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

/** More connections than were promised at that moment, as counted here and as the kernel confirmed. */
export interface Excess {
  readonly counted: number
  readonly confirmed: number
  readonly ceiling: number
}

/** Two samples further apart say nothing about the time between them. */
const MAX_PAUSE_MS = 100

/** Finds for how long too many connections were idle at a stretch. Pure: `now` comes with each call, in milliseconds. */
export class IdleExcess {
  #since: number | null = null
  #lastAt = 0
  #longestMs = 0
  #worst: Excess | null = null
  #max = 0

  /** From the first to the last of the samples in a row that showed it. */
  get longestMs(): number {
    return this.#longestMs
  }

  /** A sample of the longest stretch. */
  get worst(): Excess | null {
    return this.#worst
  }

  /** Most that were idle in any sample. */
  get max(): number {
    return this.#max
  }

  note(sample: Excess, now: number): void {
    this.#max = Math.max(this.#max, sample.confirmed)
    if (sample.confirmed <= sample.ceiling) {
      this.#since = null
      return
    }
    if (this.#since === null || now - this.#lastAt > MAX_PAUSE_MS) this.#since = now
    this.#lastAt = now
    if (this.#worst !== null && now - this.#since <= this.#longestMs) return
    this.#longestMs = now - this.#since
    this.#worst = sample
  }
}

/** One look at the cluster. */
export interface Glance {
  /** Milliseconds. */
  readonly at: number
  readonly waiting: number
  /** Permits that nobody has used since the last glance. */
  readonly free: number
}

/** Two glances further apart say nothing about the time between them. */
const MAX_PAUSE_MS = 1000

/** Finds the longest time in which somebody waited although something was free. */
export class WaitMonitor {
  #since: number | null = null
  #lastAt = 0
  #longestMs = 0

  /** From the first to the last of the glances in a row that showed it. */
  get longestMs(): number {
    return this.#longestMs
  }

  /** `null`: nothing could be seen. What happened since the last glance is unknown then, as after a long pause. */
  note(glance: Glance | null): void {
    const isShown = glance !== null && glance.waiting > 0 && glance.free > 0
    if (!isShown) {
      this.#since = null
      return
    }
    const { at } = glance
    if (this.#since === null || at - this.#lastAt > MAX_PAUSE_MS) this.#since = at
    this.#lastAt = at
    this.#longestMs = Math.max(this.#longestMs, at - this.#since)
  }
}

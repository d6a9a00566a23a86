/** Over how long the rate is averaged; older releases fade. */
const WINDOW_MS = 30_000
const UNKNOWN_RETRY_S = 5
const LONGEST_RETRY_S = 60

/** How fast permits have been coming free lately: what `retry-after` is computed from. */
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

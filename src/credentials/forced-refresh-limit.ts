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
    const recent = this.#times.filter((time) => now - time < WINDOW_MS)
    const isAllowed = recent.length < MAX_FORCED
    this.#times = isAllowed ? [...recent, now] : recent
    return isAllowed
  }
}

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

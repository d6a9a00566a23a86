import { setTimeout as delay } from 'node:timers/promises'

/** Requests that wait before they are sent once more: all of them can be refused, as those that wait for a permit. */
export class RetryWaits {
  /** Bounded by the requests that are served. */
  readonly #ends = new Set<AbortController>()

  /** @throws what `refuse()` is called with meanwhile; the signal's reason. */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    const end = new AbortController()
    this.#ends.add(end)
    const ended = AbortSignal.any([signal, end.signal])
    try {
      await delay(ms, undefined, { signal: ended })
    } catch (cause) {
      throw ended.reason ?? cause
    } finally {
      this.#ends.delete(end)
    }
  }

  refuse(error: Error): void {
    for (const end of this.#ends) end.abort(error)
  }
}

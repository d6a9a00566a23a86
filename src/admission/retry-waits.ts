import { setTimeout as delay } from 'node:timers/promises'

/** Requests that wait before they are sent once more: all of them can be refused, as those that wait for a permit. */
export class RetryWaits {
  /** With the key of the client. Bounded by the requests that are served. */
  readonly #ends = new Map<AbortController, string>()

  /**
   * Waits for `ms` milliseconds; `key` is the name of the client's key.
   *
   * @throws what `refuse()` is called with meanwhile; the signal's reason.
   */
  async wait({ ms, key }: { ms: number; key: string }, signal: AbortSignal): Promise<void> {
    const end = new AbortController()
    this.#ends.set(end, key)
    const ended = AbortSignal.any([signal, end.signal])
    try {
      await delay(ms, undefined, { signal: ended })
    } catch (cause) {
      throw ended.reason ?? cause
    } finally {
      this.#ends.delete(end)
    }
  }

  /** Ends the waits of the clients whose keys are meant. */
  refuse(error: Error, isMeant: (key: string) => boolean = () => true): void {
    for (const [end, key] of this.#ends) if (isMeant(key)) end.abort(error)
  }
}

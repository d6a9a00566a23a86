import { setTimeout as delay } from 'node:timers/promises'

/** Requests that wait for another attempt; they can be refused like those that wait for a permit. */
export class RetryWaits {
  /** Client keys. Bounded by the requests that are served. */
  readonly #ends = new Map<AbortController, string>()

  /** @throws the error of `refuse()`; the signal's reason. */
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

  refuse(error: Error, isMeant: (key: string) => boolean = () => true): void {
    for (const [end, key] of this.#ends) if (isMeant(key)) end.abort(error)
  }
}

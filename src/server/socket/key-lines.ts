import { unlessAborted } from '../../shared/errors.ts'

/** Lets the next one in. May be called again. */
export type LeaveLine = () => void

/**
 * Lets one request of a key at a time do what would hold up others.
 *
 * Large messages of a key that may run only so many streams: one of them at a time has memory before its request has a
 * stream. The others are not read meanwhile, or one key's waiting requests would hold the memory of all others.
 */
export class KeyLines {
  /** The end of each line that is not empty. Bounded by the keys whose requests wait. */
  readonly #ends = new Map<string, Promise<void>>()

  /** Rejects with the signal's reason. */
  async enter(key: string, signal: AbortSignal): Promise<LeaveLine> {
    const before = this.#ends.get(key) ?? Promise.resolve()
    const left = Promise.withResolvers<void>()
    const end = before.then(() => left.promise)
    this.#ends.set(key, end)
    void this.#forget(key, end) // cannot reject
    try {
      await unlessAborted(before, signal)
      return left.resolve
    } catch (cause) {
      left.resolve()
      throw cause
    }
  }

  async #forget(key: string, end: Promise<void>): Promise<void> {
    await end
    if (this.#ends.get(key) === end) this.#ends.delete(key)
  }
}

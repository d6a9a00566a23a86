import { nextEndOf, type NamedKey } from '../../keys/key.ts'

/** Longest sleep: the clock of the machine may be set meanwhile. */
const MAX_SLEEP_MS = 60_000

/** Calls `onExpired` when a named key, or a former secret of one, expires. Requests may still wait with it. */
export class KeyExpiry {
  readonly #onExpired: () => void
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(onExpired: () => void) {
    this.#onExpired = onExpired
  }

  /** Replaces the keys that were watched. */
  watch(keys: readonly NamedKey[], now = Date.now()): void {
    this.#stop()
    const end = nextEndOf(keys, now)
    if (end === null || this.#isClosed) return
    const sleepMs = Math.min(end - now, MAX_SLEEP_MS)
    this.#timer = setTimeout(() => {
      // One look at the clock for both: what ends between two would be missed.
      const awake = Date.now()
      this.watch(keys, awake)
      if (awake >= end) this.#onExpired()
    }, sleepMs).unref()
  }

  close(): void {
    this.#isClosed = true
    this.#stop()
  }

  #stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }
}

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
  watch(keys: readonly NamedKey[]): void {
    this.#stop()
    const now = Date.now()
    const end = nextEndOf(keys, now)
    if (end === null || this.#isClosed) return
    const sleepMs = Math.min(end - now, MAX_SLEEP_MS)
    this.#timer = setTimeout(() => {
      if (Date.now() >= end) this.#onExpired()
      this.watch(keys)
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

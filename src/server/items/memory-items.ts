export interface MemoryItemsLimits {
  readonly maxBytes: number
  readonly maxAgeMs: number
}

interface Entry {
  readonly text: string
  readonly savedAt: number
}

/** The items of answers while there is no folder for them: the newest, of this worker alone. */
export class MemoryItems {
  readonly #now: () => number
  /** Oldest first. Bounded by `maxBytes`. */
  readonly #entries = new Map<string, Entry>()
  #bytes = 0

  constructor(now: () => number) {
    this.#now = now
  }

  set(key: string, text: string, { maxBytes }: MemoryItemsLimits): void {
    this.#forget(key)
    this.#entries.set(key, { text, savedAt: this.#now() })
    this.#bytes += bytesOf(key, text)
    for (const oldest of this.#entries.keys()) {
      if (this.#bytes <= maxBytes) break
      this.#forget(oldest)
    }
  }

  get(key: string, { maxAgeMs }: MemoryItemsLimits): string | null {
    const entry = this.#entries.get(key)
    if (entry === undefined) return null
    if (this.#now() - entry.savedAt <= maxAgeMs) return entry.text
    this.#forget(key)
    return null
  }

  #forget(key: string): void {
    const entry = this.#entries.get(key)
    if (entry === undefined) return
    this.#bytes -= bytesOf(key, entry.text)
    this.#entries.delete(key)
  }
}

/** At most, in this process. */
const BYTES_PER_CHAR = 2
/** Measured: the entry, its place among the others, and the heads of its two strings. */
const BYTES_PER_ENTRY = 160

function bytesOf(key: string, text: string): number {
  return BYTES_PER_ENTRY + (key.length + text.length) * BYTES_PER_CHAR
}

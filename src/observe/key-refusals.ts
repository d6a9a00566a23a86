import type { Logger } from './logger.ts'

/** Lines per key, code and period; the rest becomes one line with the count. */
const LINES = 100
const WINDOW_MS = 60_000
/** Keys and codes told apart in a period; the rest counts as one. */
const MAX_COUNTS = 1_000

export interface KeyRefusal {
  readonly code: string
  readonly key: string | null
  readonly keyHash: string | null
}

interface Count {
  readonly refusal: KeyRefusal
  times: number
}

/** Keeps a client that goes on after a refusal from flooding the log. */
export class KeyRefusals {
  readonly #log: Pick<Logger, 'info'>
  /** Bounded by MAX_COUNTS. */
  readonly #counts = new Map<string, Count>()
  #timer: NodeJS.Timeout | null = null

  constructor(log: Pick<Logger, 'info'>) {
    this.#log = log
  }

  note(refusal: KeyRefusal): boolean {
    this.#timer ??= setTimeout(() => this.#endWindow(), WINDOW_MS).unref()
    const { code, key, keyHash } = refusal
    const name = `${code} ${keyHash ?? ''} ${key ?? ''}`
    const isNew = !this.#counts.has(name)
    const place = isNew && this.#counts.size >= MAX_COUNTS ? '' : name
    const count = this.#counts.get(place) ?? { refusal: place === '' ? OTHERS : refusal, times: 0 }
    this.#counts.set(place, count)
    count.times += 1
    return count.times <= LINES
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#endWindow()
  }

  #endWindow(): void {
    this.#timer = null
    for (const { refusal, times } of this.#counts.values()) {
      const { code, key, keyHash } = refusal
      if (times <= LINES) continue
      const who = { key: key ?? undefined, client_key_hash: keyHash ?? undefined }
      this.#log.info({ ...who, code, more: times - LINES }, 'more requests refused in this minute')
    }
    this.#counts.clear()
  }
}

const OTHERS: KeyRefusal = { code: 'other', key: null, keyHash: null }

import { findPartial } from './hold-back.ts'

/**
 * Ends an answer before the first of the client's stop strings (kiro-protocol §9.9). The one that
 * begins first wins, of two that begin together the shorter; how the text was cut into deltas makes no
 * difference. A tail that may still become a stop string is held.
 */
export class StopSequences {
  readonly #stops: readonly string[]
  #held = ''
  #match: string | null = null

  /** Empty strings are ignored: they would end every answer before it began. */
  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '')
  }

  get isEmpty(): boolean {
    return this.#stops.length === 0
  }

  /** The stop string that ended the answer; null while none did. */
  get match(): string | null {
    return this.#match
  }

  /** The text that is sure to stand before any stop string. `''` for everything after a match. */
  push(delta: string): string {
    if (this.#match !== null) return ''
    const text = this.#held + delta
    const found = this.#findFirst(text)
    const open = this.#findOpen(text)
    if (found !== null && found.at <= open) return this.#stopAt(text, found)
    this.#held = text.slice(open)
    return text.slice(0, open)
  }

  /** Gives out what is held, for the end of the text or something else coming up in the answer. */
  release(): string {
    const text = this.#held
    const found = this.#findFirst(text)
    if (found !== null) return this.#stopAt(text, found)
    this.#held = ''
    return text
  }

  #stopAt(text: string, found: StopMatch): string {
    this.#match = found.stop
    this.#held = ''
    return text.slice(0, found.at)
  }

  #findFirst(text: string): StopMatch | null {
    let first: StopMatch | null = null
    for (const stop of this.#stops) {
      const at = text.indexOf(stop)
      if (at === -1) continue
      const isFirst =
        first === null || at < first.at || (at === first.at && stop.length < first.stop.length)
      if (isFirst) first = { at, stop }
    }
    return first
  }

  #findOpen(text: string): number {
    let open = text.length
    for (const stop of this.#stops) open = Math.min(open, findPartial(text, stop))
    return open
  }
}

interface StopMatch {
  readonly at: number
  readonly stop: string
}

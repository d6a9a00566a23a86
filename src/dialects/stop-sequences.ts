import { detach } from './long-text.ts'

/**
 * Ends an answer before the first of the client's stop strings (kiro-protocol §9.9). The one that
 * begins first wins, of two that begin together the shorter; how the text was cut into deltas makes no
 * difference. A tail that may still become a stop string is held.
 *
 * Every character is looked at once for each stop string, whatever the text and they are like.
 */
export class StopSequences {
  readonly #stops: readonly StopString[]
  #held = ''
  /** Begins in what is held; one that began before it may still win. */
  #found: StopMatch | null = null
  #match: string | null = null

  /** Empty strings are ignored: they would end every answer before it began. */
  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '').map((stop) => new StopString(stop))
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
    if (this.#match !== null || this.isEmpty) return this.#match === null ? delta : ''
    const text = this.#held + delta
    for (let at = this.#held.length; at < text.length; at++) {
      this.#read(text.charCodeAt(at), at + 1)
      const found = this.#found
      if (found !== null && found.at <= this.#openAt(at + 1)) return this.#stopAt(text, found)
    }
    const open = this.#openAt(text.length)
    // What is held is short and would keep the whole text, however long that is.
    this.#held = detach(text.slice(open))
    if (this.#found !== null) this.#found = { ...this.#found, at: this.#found.at - open }
    return text.slice(0, open)
  }

  /** Gives out what is held, for the end of the text or something else coming up in the answer. */
  release(): string {
    const text = this.#held
    if (this.#found !== null) return this.#stopAt(text, this.#found)
    for (const stop of this.#stops) stop.reset()
    this.#held = ''
    return text
  }

  /** `end`: where the text ends with this character. */
  #read(code: number, end: number): void {
    for (const stop of this.#stops) {
      if (!stop.read(code)) continue
      const { text } = stop
      const at = end - text.length
      const first = this.#found
      const isFirst =
        first === null || at < first.at || (at === first.at && text.length < first.stop.length)
      if (isFirst) this.#found = { at, stop: text }
    }
  }

  /** Where the longest tail begins that may still become a stop string. */
  #openAt(end: number): number {
    let begun = 0
    for (const stop of this.#stops) begun = Math.max(begun, stop.begunChars)
    return end - begun
  }

  #stopAt(text: string, found: StopMatch): string {
    this.#match = found.stop
    this.#held = ''
    this.#found = null
    return text.slice(0, found.at)
  }
}

interface StopMatch {
  /** From the beginning of what is held. */
  readonly at: number
  readonly stop: string
}

/** One string that is looked for in a text that comes by characters (Knuth, Morris and Pratt). */
class StopString {
  readonly text: string
  #begunChars = 0
  /** How much of the string its first so many characters end with, themselves aside. Made when it is needed. */
  #borders: Uint32Array | null = null

  constructor(text: string) {
    this.text = text
  }

  /** How much of it the text ends with; all of it counts as much as may be the beginning of the next one. */
  get begunChars(): number {
    return this.#begunChars
  }

  /** True if the text ends with the whole of it now. */
  read(code: number): boolean {
    const { text } = this
    let begun = this.#begunChars
    while (begun > 0 && text.charCodeAt(begun) !== code) begun = this.#borderOf(begun)
    if (text.charCodeAt(begun) === code) begun++
    const isWhole = begun === text.length
    this.#begunChars = isWhole ? this.#borderOf(begun) : begun
    return isWhole
  }

  reset(): void {
    this.#begunChars = 0
  }

  #borderOf(chars: number): number {
    if (chars === 1) return 0
    this.#borders ??= bordersOf(this.text)
    return this.#borders[chars] ?? 0
  }
}

function bordersOf(text: string): Uint32Array {
  const borders = new Uint32Array(text.length + 1)
  let border = 0
  for (let at = 1; at < text.length; at++) {
    while (border > 0 && text.charCodeAt(at) !== text.charCodeAt(border)) {
      border = borders[border] ?? 0
    }
    if (text.charCodeAt(at) === text.charCodeAt(border)) border++
    borders[at + 1] = border
  }
  return borders
}

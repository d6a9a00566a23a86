import { type AnswerRoom, detach, heapBytesOf, LongText } from './output-text.ts'

export interface TextStage {
  /** Returns the text that is sure to go on, some of it held before; `''` may be passed, too. */
  push(text: string): string
  /** Returns what is held: the text ends, or something else follows in the answer. */
  release(): string
}

/** Finds where a tail of `text` begins that may still grow into `needle`; `text.length` if there is none. */
export function findPartial(text: string, needle: string): number {
  const first = needle.slice(0, 1)
  let at = text.indexOf(first, Math.max(0, text.length - needle.length + 1))
  while (at !== -1) {
    if (needle.startsWith(text.slice(at))) return at
    at = text.indexOf(first, at + 1)
  }
  return text.length
}

/**
 * Ends an answer before the first of the client's stop strings (kiro-protocol §9.9): of two that begin
 * together the shorter, however the text was cut into deltas. A tail that may become one is held. Each
 * character is read once per string.
 */
export class StopSequences implements TextStage {
  readonly #stops: readonly StopString[]
  readonly #onStop: (sequence: string) => void
  #held = ''
  /** A found string may still lose to one that began before it. */
  #found: StopMatch | null = null
  #isStopped = false

  constructor(stops: readonly string[], onStop: (sequence: string) => void) {
    this.#stops = stops.filter((stop) => stop !== '').map((stop) => new StopString(stop))
    this.#onStop = onStop
  }

  /** Returns the text that surely stands before any stop string; `''` after a match. */
  push(delta: string): string {
    if (this.#isStopped) return ''
    const text = this.#held + delta
    for (let at = this.#held.length; at < text.length; at++) {
      this.#read(text.charCodeAt(at), at + 1)
      const found = this.#found
      if (found !== null && found.at <= this.#openAt(at + 1)) return this.#stopAt(text, found)
    }
    const open = this.#openAt(text.length)
    // Held text is short, but as a slice would retain the whole text.
    this.#held = detach(text.slice(open))
    if (this.#found !== null) this.#found = { ...this.#found, at: this.#found.at - open }
    return text.slice(0, open)
  }

  release(): string {
    const text = this.#held
    if (this.#found !== null) return this.#stopAt(text, this.#found)
    for (const stop of this.#stops) stop.begunChars = 0
    this.#held = ''
    return text
  }

  /** `end`: index after this character. */
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

  #openAt(end: number): number {
    let begun = 0
    for (const stop of this.#stops) begun = Math.max(begun, stop.begunChars)
    return end - begun
  }

  #stopAt(text: string, found: StopMatch): string {
    this.#isStopped = true
    this.#held = ''
    this.#found = null
    this.#onStop(found.stop)
    return text.slice(0, found.at)
  }
}

interface StopMatch {
  readonly at: number
  readonly stop: string
}

/** Matches one string in a text that comes by characters (Knuth, Morris and Pratt). */
class StopString {
  readonly text: string
  begunChars = 0
  #borders: Uint32Array | null = null

  constructor(text: string) {
    this.text = text
  }

  read(code: number): boolean {
    const { text } = this
    let begun = this.begunChars
    while (begun > 0 && text.charCodeAt(begun) !== code) begun = this.#borderOf(begun)
    if (text.charCodeAt(begun) === code) begun++
    const isWhole = begun === text.length
    this.begunChars = isWhole ? this.#borderOf(begun) : begun
    return isWhole
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

const Fence = '```'

const MaxHeldChars = 1024 * 1024
const MaxLeadingChars = 1024

/**
 * Removes the Markdown fence that some models put around a JSON answer (kiro-protocol §9.9). Holds only an
 * answer that begins with a fence, since its end shows whether the fence wraps all of it.
 */
export class JsonFence implements TextStage {
  readonly #room: AnswerRoom
  #state: 'start' | 'fenced' | 'open' = 'start'
  readonly #held = new LongText()
  #heldBytes = 0

  constructor(room: AnswerRoom) {
    this.#room = room
  }

  push(delta: string): string {
    if (this.#state === 'open') return delta
    this.#held.add(delta)
    if (this.#state === 'start') {
      const beginning = this.#held.toString().trimStart()
      if (beginning.startsWith(Fence)) this.#state = 'fenced'
      else if (!Fence.startsWith(beginning) || this.#held.length > MaxLeadingChars) {
        return this.#giveOut()
      }
    }
    const bytes = heapBytesOf(delta)
    if (!this.#room.hold(bytes)) return this.#giveOut()
    this.#heldBytes += bytes
    return this.#held.length <= MaxHeldChars ? '' : this.#giveOut()
  }

  release(): string {
    const isFenced = this.#state === 'fenced'
    if (this.#held.length === 0) return ''
    const text = this.#giveOut()
    return isFenced ? unwrap(text) : text
  }

  #giveOut(): string {
    this.#state = 'open'
    this.#room.free(this.#heldBytes)
    this.#heldBytes = 0
    return this.#held.take().join('')
  }
}

/** A fence line inside means several blocks; JSON text cannot have such a line. */
function unwrap(text: string): string {
  const block = text.trim()
  const from = block.indexOf('\n')
  const to = block.lastIndexOf('\n')
  if (from === to || block.slice(to).trim() !== Fence) return text
  const inner = block.slice(from + 1, to)
  return /^[^\S\n]*```/m.test(inner) ? text : inner.trim()
}

const OpeningTags = ['<thinking>', '<think>', '<reasoning>', '<thought>'] as const

/** Blanks allowed before an opening tag; with the longest tag's beginning, 20 characters are held. */
const MaxLeadingBlanks = 10

/** One delta taken apart; if both are filled, the reasoning came first. */
export interface ThinkingSplit {
  readonly reasoning: string
  readonly text: string
}

/**
 * Separates reasoning that an answer carries in tags at its very beginning (kiro-protocol §5.10, parser A). No delta
 * ever holds a piece of a tag.
 *
 *   start ──opening tag──▶ inside ──closing tag──▶ gap ──first non-blank──▶ answer
 *     └──────────────────── anything else ──────────────────────────────────▲
 */
export class ThinkingTags {
  #state: 'start' | 'inside' | 'gap' | 'answer' = 'start'
  #held = ''
  #closingTag = ''

  push(delta: string): ThinkingSplit {
    if (this.#state === 'answer') return { reasoning: '', text: delta }
    if (this.#state === 'gap') return { reasoning: '', text: this.#skipGap(delta) }
    return this.#state === 'inside' ? this.#readInside(delta) : this.#readStart(delta)
  }

  release(): ThinkingSplit {
    const held = this.#held
    this.#held = ''
    if (this.#state === 'inside') return { reasoning: held, text: '' }
    if (held !== '') this.#state = 'answer'
    return { reasoning: '', text: held }
  }

  #readStart(delta: string): ThinkingSplit {
    this.#held += delta
    const beginning = this.#held.trimStart()
    if (this.#held.length - beginning.length > MaxLeadingBlanks) return this.release()
    const tag = OpeningTags.find((opening) => beginning.startsWith(opening))
    if (tag !== undefined) {
      this.#state = 'inside'
      // A slice of few characters.
      this.#closingTag = `</${tag.slice(1)}`
      this.#held = ''
      return this.#readInside(beginning.slice(tag.length))
    }
    const isOpen = OpeningTags.some((opening) => opening.startsWith(beginning))
    return isOpen ? { reasoning: '', text: '' } : this.release()
  }

  #readInside(delta: string): ThinkingSplit {
    const inside = this.#held + delta
    const end = inside.indexOf(this.#closingTag)
    if (end === -1) {
      const safe = findPartial(inside, this.#closingTag)
      // A slice that the next piece replaces.
      this.#held = inside.slice(safe)
      return { reasoning: inside.slice(0, safe), text: '' }
    }
    this.#held = ''
    this.#state = 'gap'
    const text = this.#skipGap(inside.slice(end + this.#closingTag.length))
    return { reasoning: inside.slice(0, end), text }
  }

  #skipGap(delta: string): string {
    const text = delta.trimStart()
    if (text !== '') this.#state = 'answer'
    return text
  }
}

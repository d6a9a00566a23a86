import { type AnswerRoom, detach, heapBytesOf, LongText } from './output-text.ts'

/** One stage on the way of the model's text to the client. */
export interface TextStage {
  /** The text that is sure to go on, which may have been held before; `''` also goes in. */
  push(text: string): string
  /** Gives out what is held, for the end of the text or something else coming up in the answer. */
  release(): string
}

/**
 * Finds the longest tail of `text` that may still grow into `needle`; returns `text.length` if there is none.
 * Everything before that place can be sent now.
 */
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
 * Ends an answer before the first of the client's stop strings (kiro-protocol §9.9). The one that
 * begins first wins, of two that begin together the shorter; how the text was cut into deltas makes no
 * difference. A tail that may still become a stop string is held.
 *
 * Every character is looked at once for each stop string, whatever the text and they are like.
 */
export class StopSequences implements TextStage {
  readonly #stops: readonly StopString[]
  readonly #onStop: (sequence: string) => void
  #held = ''
  /** Begins in what is held; one that began before it may still win. */
  #found: StopMatch | null = null
  #isStopped = false

  /** Empty strings are ignored: they would end every answer before it began. */
  constructor(stops: readonly string[], onStop: (sequence: string) => void) {
    this.#stops = stops.filter((stop) => stop !== '').map((stop) => new StopString(stop))
    this.#onStop = onStop
  }

  /** The text that is sure to stand before any stop string. `''` for everything after a match. */
  push(delta: string): string {
    if (this.#isStopped) return ''
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

  release(): string {
    const text = this.#held
    if (this.#found !== null) return this.#stopAt(text, this.#found)
    for (const stop of this.#stops) stop.begunChars = 0
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

  /** Finds the longest tail that may still become a stop string. */
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
  /** From the beginning of what is held. */
  readonly at: number
  readonly stop: string
}

/** One string that is looked for in a text that comes by characters (Knuth, Morris and Pratt). */
class StopString {
  readonly text: string
  /** Length of its beginning at the end of the text; a full match counts as the beginning of a next one. */
  begunChars = 0
  /** Border lengths of the string's prefixes. Computed on first use. */
  #borders: Uint32Array | null = null

  constructor(text: string) {
    this.text = text
  }

  /** True if the text ends with the whole of it now. */
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

/** Longest fenced answer that is held; a longer one is given out with its fence. */
const MaxHeldChars = 1024 * 1024
/** Blanks that may stand before a fence. */
const MaxLeadingChars = 1024

/**
 * Removes the Markdown code fence that some models put around a JSON answer (kiro-protocol §9.9). A fence around the
 * whole answer shows only at the end, so an answer that begins with one is held until then; any other answer passes
 * from its first character on.
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

  /** Gives out what is held, without its fence if that wraps all of it. */
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

/** A fence line inside means that there are several blocks; JSON text can't have such a line. */
function unwrap(text: string): string {
  const block = text.trim()
  const from = block.indexOf('\n')
  const to = block.lastIndexOf('\n')
  if (from === to || block.slice(to).trim() !== Fence) return text
  const inner = block.slice(from + 1, to)
  return /^[^\S\n]*```/m.test(inner) ? text : inner.trim()
}

const OpeningTags = ['<thinking>', '<think>', '<reasoning>', '<thought>'] as const

/** Blanks that may stand before an opening tag; with the longest tag's beginning, 20 characters are held. */
const MaxLeadingBlanks = 10

/** One delta taken apart; where both are filled, the reasoning came first. */
export interface ThinkingSplit {
  readonly reasoning: string
  readonly text: string
}

/**
 * Takes the reasoning out of answers that carry it in tags at their very beginning
 * (kiro-protocol §5.10, parser A). No delta ever holds a piece of a tag.
 *
 * ```
 *   start ──opening tag──▶ inside ──closing tag──▶ gap ──first non-blank──▶ answer
 *     └──────────────────── anything else ──────────────────────────────────▲
 * ```
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

  /** Gives out what is held, for the end of the answer or something else coming up in it. */
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

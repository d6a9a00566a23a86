import { UnwrittenMemory } from '../../shared/own-memory.ts'
import type { Written } from './answer-writer.ts'

const PIECES_CHARS = 4096
/** Each block of bytes is twice as large as the last, up to the largest. */
const FIRST_BLOCK_BYTES = 8192
const MAX_BLOCK_BYTES = 65_536

/**
 * Text of an answer that is sent once it is complete, maybe more than once. A long one is kept outside of the heap, as
 * the bytes that will be sent.
 *
 *   pieces ──4,096 characters──▶ as JSON, in UTF-8 ──▶ blocks of 8 to 64 KiB, each from the answer's room
 *
 * `form`: `json` writes what stands between the quotes of a JSON string, `plain` the text itself.
 */
export class OutputText {
  readonly #room: AnswerRoom
  readonly #form: 'json' | 'plain'
  #pieces: string[] = []
  #pieceChars = 0
  readonly #blocks: UnwrittenMemory[] = []
  #isEmpty = true

  constructor(room: AnswerRoom, form: 'json' | 'plain' = 'json') {
    this.#room = room
    this.#form = form
  }

  get isEmpty(): boolean {
    return this.#isEmpty
  }

  /**
   * Returns false, with nothing added, when the room is full.
   * @throws {GatewayError} as the room
   */
  add(piece: string): boolean {
    if (piece === '') return true
    const chars = this.#pieceChars + piece.length
    if (chars >= PIECES_CHARS && !this.#writeAll(piece)) return false
    if (chars < PIECES_CHARS) {
      this.#pieces.push(piece)
      this.#pieceChars = chars
    }
    this.#isEmpty = false
    return true
  }

  /** Returns the whole text, quoted if it is JSON. Bytes in it are shared and must not be changed. */
  written(): Written {
    const rest = this.#toForm(this.#pieces.join(''))
    const quote = this.#form === 'json' ? '"' : ''
    if (this.#blocks.length === 0) return quote + rest + quote
    const blocks = this.#blocks.map((block) => block.written())
    return [...(quote === '' ? [] : [quote]), ...blocks, rest + quote]
  }

  #writeAll(piece: string): boolean {
    const text = this.#pieces.join('') + piece
    const end = wholeCharsEnd(text)
    if (!this.#write(this.#toForm(end === text.length ? text : text.slice(0, end)))) return false
    // The slice is half a character.
    this.#pieces = end === text.length ? [] : [text.slice(end)]
    this.#pieceChars = text.length - end
    return true
  }

  #write(text: string): boolean {
    const last = this.#blocks.at(-1)
    const before = last?.writtenBytes ?? 0
    const read = last?.appendText(text) ?? 0
    if (read === text.length) return true
    const rest = Buffer.from(read === 0 ? text : text.slice(read))
    const block = this.#addBlock(rest.byteLength)
    if (block === null) last?.rewindTo(before)
    else block.append(rest)
    return block !== null
  }

  #addBlock(bytes: number): UnwrittenMemory | null {
    const last = this.#blocks.at(-1)
    const usual = last === undefined ? FIRST_BLOCK_BYTES : last.size * 2
    const size = Math.max(bytes, Math.min(usual, MAX_BLOCK_BYTES))
    if (!this.#room.hold(size)) return null
    const block = new UnwrittenMemory(size)
    this.#blocks.push(block)
    return block
  }

  #toForm(text: string): string {
    return this.#form === 'json' ? JSON.stringify(text).slice(1, -1) : text
  }
}

const BLOCK_CHARS = 4096

/**
 * A text that grows piece by piece. `text += piece` takes five times the memory for small pieces, is copied
 * at every look, and retains the strings that pieces were sliced from. Here a look is free.
 */
export class LongText {
  #blocks: string[] = []
  #pieces: string[] = []
  #pieceChars = 0
  #length = 0

  /** UTF-16 units. */
  get length(): number {
    return this.#length
  }

  add(piece: string): void {
    if (piece === '') return
    this.#length += piece.length
    this.#pieces.push(piece)
    this.#pieceChars += piece.length
    if (this.#pieceChars >= BLOCK_CHARS) this.#join()
  }

  take(): readonly string[] {
    const parts = this.#blocks
    if (this.#pieceChars > 0) parts.push(flatten(this.#pieces))
    this.#blocks = []
    this.#pieces = []
    this.#pieceChars = 0
    this.#length = 0
    return parts
  }

  toString(): string {
    return [...this.#blocks, ...this.#pieces].join('')
  }

  #join(): void {
    const text = flatten(this.#pieces)
    const end = wholeCharsEnd(text)
    const rest = text.slice(end)
    // A slice that leaves out half a character.
    this.#blocks.push(rest === '' ? text : text.slice(0, end))
    this.#pieces = rest === '' ? [] : [rest]
    this.#pieceChars = rest.length
  }
}

/** Copies a text that may be a slice, which would retain the string that it was cut from. */
export function detach(text: string): string {
  return flatten([text])
}

/** Length without a trailing high surrogate, whose other half is still to come. */
export function wholeCharsEnd(text: string): number {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length
}

/** V8 joins several strings into a new one, but returns a single one as it is. */
function flatten(pieces: readonly string[]): string {
  const [only = ''] = pieces
  return pieces.length > 1 ? pieces.join('') : [only.slice(0, 1), only.slice(1)].join('')
}

/**
 * Limits of one answer: how much the model may say, and how much of that may be held. When it is full, a
 * stream ends as incomplete and an answer in one piece fails. Held memory is freed when the answer ends.
 */
export interface AnswerRoom {
  readonly isFull: boolean
  /** @throws {GatewayError} instead of false, for an answer in one piece */
  say(bytes: number): boolean
  /** @throws {GatewayError} instead of false, for an answer in one piece */
  hold(bytes: number): boolean
  free(bytes: number): void
}

export const ENDLESS_ROOM: AnswerRoom = {
  isFull: false,
  say: () => true,
  hold: () => true,
  free: () => {}
}

/** Upper bound of the heap that a `LongText` of this text takes. */
export function heapBytesOf(text: string): number {
  return text.length * 2
}

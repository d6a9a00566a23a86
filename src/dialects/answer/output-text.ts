import { type AnswerRoom, wholeCharsEnd } from './long-text.ts'

/** What is sent: a text, or its parts in order where some of them are bytes, which may be sent more than once. */
export type Written = string | readonly (string | Uint8Array)[]

/** Up to so many characters a text is kept as it comes. */
const PIECES_CHARS = 4096
/** Size of the first block of bytes; each is twice as large as the last, up to the largest. */
const FIRST_BLOCK_BYTES = 8192
const MAX_BLOCK_BYTES = 65_536

const Utf8 = new TextEncoder()

/**
 * A text of an answer that is sent once it is whole, or again when it is: it grows by pieces, and what is long of it
 * is kept as the bytes that will be sent, outside of the heap.
 *
 * ```
 *   pieces ──4,096 characters──▶ as JSON, in UTF-8 ──▶ blocks of 8 to 64 KiB, each from the answer's room
 * ```
 *
 * `form`: `json` writes what stands between the quotes of a JSON string, `plain` the text itself.
 */
export class OutputText {
  readonly #room: AnswerRoom
  readonly #form: 'json' | 'plain'
  #pieces: string[] = []
  #pieceChars = 0
  readonly #blocks: Buffer[] = []
  /** How much of the last block is filled. */
  #filledBytes = 0
  #isEmpty = true

  constructor(room: AnswerRoom, form: 'json' | 'plain' = 'json') {
    this.#room = room
    this.#form = form
  }

  get isEmpty(): boolean {
    return this.#isEmpty
  }

  /**
   * False, and nothing is added, when there is no more room.
   *
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

  /** All of it, with quotes around it if it is JSON. Bytes in it are shared: they must not be changed. */
  written(): Written {
    const rest = this.#toForm(this.#pieces.join(''))
    const quote = this.#form === 'json' ? '"' : ''
    if (this.#blocks.length === 0) return quote + rest + quote
    const last = this.#blocks.length - 1
    const blocks = this.#blocks.map((block, index) =>
      index === last ? block.subarray(0, this.#filledBytes) : block
    )
    return [...(quote === '' ? [] : [quote]), ...blocks, rest + quote]
  }

  /** Pieces and one more; half a character at their end waits for its other half. */
  #writeAll(piece: string): boolean {
    const text = this.#pieces.join('') + piece
    const end = wholeCharsEnd(text)
    if (!this.#write(this.#toForm(end === text.length ? text : text.slice(0, end)))) return false
    // The slice is half a character.
    this.#pieces = end === text.length ? [] : [text.slice(end)]
    this.#pieceChars = text.length - end
    return true
  }

  /** Fills the last block before there is another: what is held is hardly more than the text. */
  #write(text: string): boolean {
    const last = this.#blocks.at(-1)
    const filledBytes = this.#filledBytes
    const read = last === undefined ? 0 : this.#fill(last, text)
    if (read === text.length) return true
    const rest = text.slice(read)
    const block = this.#addBlock(Buffer.byteLength(rest))
    if (block === null) this.#filledBytes = filledBytes
    else this.#fill(block, rest)
    return block !== null
  }

  /** As many whole characters as fit; gives their UTF-16 units. */
  #fill(block: Buffer, text: string): number {
    const { read, written } = Utf8.encodeInto(text, block.subarray(this.#filledBytes))
    this.#filledBytes += written
    return read
  }

  #addBlock(bytes: number): Buffer | null {
    const last = this.#blocks.at(-1)
    const usual = last === undefined ? FIRST_BLOCK_BYTES : last.byteLength * 2
    const size = Math.max(bytes, Math.min(usual, MAX_BLOCK_BYTES))
    if (!this.#room.hold(size)) return null
    if (last !== undefined)
      this.#blocks[this.#blocks.length - 1] = last.subarray(0, this.#filledBytes)
    const block = Buffer.allocUnsafeSlow(size)
    this.#blocks.push(block)
    this.#filledBytes = 0
    return block
  }

  #toForm(text: string): string {
    return this.#form === 'json' ? JSON.stringify(text).slice(1, -1) : text
  }
}

/** One after the other. */
export function glue(...texts: readonly Written[]): Written {
  if (texts.every((text) => typeof text === 'string')) return texts.join('')
  const parts: (string | Uint8Array)[] = []
  for (const text of texts) {
    if (typeof text !== 'string') for (const part of text) append(parts, part)
    else if (text !== '') append(parts, text)
  }
  return parts
}

export function glueWith(separator: string, texts: readonly Written[]): Written {
  return glue(...texts.flatMap((text, index) => (index === 0 ? [text] : [separator, text])))
}

/** In UTF-8. */
export function byteLengthOf(written: Written): number {
  if (typeof written === 'string') return Buffer.byteLength(written)
  let bytes = 0
  for (const part of written) {
    bytes += typeof part === 'string' ? Buffer.byteLength(part) : part.byteLength
  }
  return bytes
}

/** As one string. For what is known to be short. */
export function toText(written: Written): string {
  return typeof written === 'string' ? written : toBytes(written).toString()
}

export function toBytes(written: Written): Buffer {
  if (typeof written === 'string') return Buffer.from(written)
  return Buffer.concat(written.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)))
}

/** Strings that stand together become one, and with it one write. */
function append(parts: (string | Uint8Array)[], part: string | Uint8Array): void {
  const last = parts.at(-1)
  if (typeof part === 'string' && typeof last === 'string') parts[parts.length - 1] = last + part
  else parts.push(part)
}

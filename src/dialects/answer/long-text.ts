/** Pieces are joined as soon as they are so long together. */
const BLOCK_CHARS = 4096

/**
 * A text that grows piece by piece and may become long.
 *
 * `text += piece` would cost five times the text for small pieces, a copy of all of it at every look into it, and the
 * whole of whatever text a piece was sliced from. Here a look costs nothing, and what is kept are flat copies of some
 * thousand characters that hold on to nothing else: a byte or two for each character.
 */
export class LongText {
  #blocks: string[] = []
  #pieces: string[] = []
  #pieceChars = 0
  #length = 0

  /** In UTF-16 units. */
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

  /** Gives all of it out, in parts that are text by themselves: no character is cut that was not cut at the end. */
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

/** A copy of a text that may be a slice of a longer one, which would live as long as the slice. */
export function detach(text: string): string {
  return flatten([text])
}

/** Where a text ends without the first half of a character whose second half is still to come. */
export function wholeCharsEnd(text: string): number {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last <= 0xdbff ? text.length - 1 : text.length
}

/** V8 joins into a new text, but gives a single one back as it is. */
function flatten(pieces: readonly string[]): string {
  const [only = ''] = pieces
  return pieces.length > 1 ? pieces.join('') : [only.slice(0, 1), only.slice(1)].join('')
}

/**
 * The room of one answer: how much the model may say, and how much of that may be held. Where there is no more room,
 * the answer ends: a stream as an incomplete one, while an answer in one piece fails. What is still held when the answer
 * is over is given back with all of it.
 */
export interface AnswerRoom {
  /** The answer is over. */
  readonly isFull: boolean
  /**
   * The model has said so many bytes more. False when that is too much.
   *
   * @throws {GatewayError} the same, for an answer in one piece.
   */
  say(bytes: number): boolean
  /**
   * So many bytes more are to be held. False when there is no memory for them.
   *
   * @throws {GatewayError} the same, for an answer in one piece.
   */
  hold(bytes: number): boolean
  /** So many of the bytes that are held are gone before the answer is over. */
  free(bytes: number): void
}

/** For answers whose length is known. */
export const ENDLESS_ROOM: AnswerRoom = {
  isFull: false,
  say: () => true,
  hold: () => true,
  free: () => {}
}

/** Bytes of the heap that a text takes at most, held as `LongText`. */
export function heapBytesOf(text: string): number {
  return text.length * 2
}

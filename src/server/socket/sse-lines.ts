/** One line of an answer's event stream: the JSON text of an event, or a heartbeat. */
export type SseLine =
  | { readonly type: 'event'; readonly json: string | Buffer }
  | { readonly type: 'heartbeat' }

const DATA = 'data: '
const COMMENT = ':'
const NEWLINE = 0x0a

/**
 * Cuts an event stream into its events. Pieces may end anywhere, also inside a character. Our own writers give each event
 * one `data` line; names and empty lines are left out, since an event's type is in its JSON.
 */
export class SseLines {
  /** Begun line. Bounded by the largest event, which its answer's room has admitted. */
  #held: (string | Uint8Array)[] = []

  push(piece: string | Uint8Array): readonly SseLine[] {
    const lines: SseLine[] = []
    let from = 0
    for (let end = nextLine(piece, 0); end !== -1; end = nextLine(piece, from)) {
      const line = toLine(this.#whole(partOf(piece, from, end)))
      if (line !== null) lines.push(line)
      from = end + 1
    }
    // A slice of a piece that is as short-lived as the line.
    if (from < lengthOf(piece)) this.#held.push(partOf(piece, from, lengthOf(piece)))
    return lines
  }

  #whole(last: string | Uint8Array): string | Buffer {
    if (this.#held.length === 0) return typeof last === 'string' ? last : toBuffer(last)
    const parts = [...this.#held, last]
    this.#held = []
    if (parts.every((part) => typeof part === 'string')) return parts.join('')
    return Buffer.concat(parts.map(toBuffer))
  }
}

function toLine(text: string | Buffer): SseLine | null {
  const head = typeof text === 'string' ? text.slice(0, DATA.length) : text.toString('latin1', 0, 6)
  if (head === DATA) {
    const json = typeof text === 'string' ? text.slice(DATA.length) : text.subarray(DATA.length)
    return { type: 'event', json }
  }
  return head.startsWith(COMMENT) ? { type: 'heartbeat' } : null
}

function nextLine(piece: string | Uint8Array, from: number): number {
  return typeof piece === 'string' ? piece.indexOf('\n', from) : piece.indexOf(NEWLINE, from)
}

function partOf(piece: string | Uint8Array, from: number, to: number): string | Uint8Array {
  return typeof piece === 'string' ? piece.slice(from, to) : piece.subarray(from, to)
}

function lengthOf(piece: string | Uint8Array): number {
  return piece.length
}

function toBuffer(part: string | Uint8Array): Buffer {
  if (typeof part === 'string') return Buffer.from(part)
  return Buffer.from(part.buffer, part.byteOffset, part.byteLength)
}

/** Told by a `FrameMeter`, in the order of the bytes. */
export interface FrameNews {
  /** A frame of a message has begun: the message will have at least so many bytes. `isFirst`: it is its first frame. */
  onDeclared(messageBytes: number, isFirst: boolean): void
  onControl(): void
  /** Bytes have come behind the client's close, which must be its last frame. */
  onTrailing(): void
}

const FINAL = 0x80
const OPCODE = 0x0f
const MASKED = 0x80
const LENGTH = 0x7f
const LENGTH_IN_16_BITS = 126
const LENGTH_IN_64_BITS = 127
const FIRST_CONTROL = 0x8
const CLOSE = 0x8
const CONTINUATION = 0
const MASK_BYTES = 4

/**
 * Reads only the heads of a client's frames (RFC 6455 §5.2), so that the size of a message is known before it has come.
 * Judges nothing: `ws` refuses what is not a frame.
 *
 *   ┌───────────────┬───────────────┬ 0, 2 or 8 bytes ┬ 4 bytes ┬─────────┐
 *   │ FIN · opcode  │ MASK · length │ longer length   │ mask    │ payload │
 */
export class FrameMeter {
  readonly #news: FrameNews
  /** Head so far. Bounded by its 14 bytes. */
  #head: number[] = []
  #payloadLeft = 0
  #messageBytes = 0
  #isInMessage = false
  #isClosing = false
  #isStopped = false

  constructor(news: FrameNews) {
    this.#news = news
  }

  push(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.byteLength && !this.#isStopped) {
      if (this.#payloadLeft > 0) {
        const passed = Math.min(this.#payloadLeft, chunk.byteLength - at)
        this.#payloadLeft -= passed
        at += passed
      } else if (this.#isClosing) {
        this.stop()
        this.#news.onTrailing()
      } else {
        this.#head.push(chunk[at] ?? 0)
        at += 1
        if (this.#head.length === headBytes(this.#head)) this.#begin()
      }
    }
  }

  /** Tells nothing more, also of the bytes at hand: one read of a socket may hold ten thousand frames. */
  stop(): void {
    this.#isStopped = true
  }

  #begin(): void {
    const [first = 0] = this.#head
    const payloadBytes = payloadOf(this.#head)
    this.#head = []
    this.#payloadLeft = payloadBytes
    const opcode = first & OPCODE
    this.#isClosing = opcode === CLOSE
    if (opcode >= FIRST_CONTROL) return this.#news.onControl()
    const isFirst = opcode !== CONTINUATION || !this.#isInMessage
    this.#messageBytes = (isFirst ? 0 : this.#messageBytes) + payloadBytes
    this.#isInMessage = (first & FINAL) === 0
    this.#news.onDeclared(this.#messageBytes, isFirst)
  }
}

/** Infinity while too little of the head is known. */
function headBytes(head: readonly number[]): number {
  const second = head[1]
  if (second === undefined) return Infinity
  const mask = (second & MASKED) === 0 ? 0 : MASK_BYTES
  return 2 + longerLengthBytes(second & LENGTH) + mask
}

function longerLengthBytes(length: number): number {
  if (length === LENGTH_IN_16_BITS) return 2
  return length === LENGTH_IN_64_BITS ? 8 : 0
}

function payloadOf(head: readonly number[]): number {
  const length = (head[1] ?? 0) & LENGTH
  const bytes = longerLengthBytes(length)
  if (bytes === 0) return length
  return head.slice(2, 2 + bytes).reduce((sum, byte) => sum * 256 + byte, 0)
}

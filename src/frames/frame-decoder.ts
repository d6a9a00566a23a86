import { crc32 } from 'node:zlib'
import { GatewayError } from '../shared/errors.ts'
import { UnwrittenMemory } from '../shared/own-memory.ts'

/** Text headers of a frame; `null` for other types, none of which matters here. */
export type FrameHeaders = Readonly<Record<string, string | null>>

/** A message of the AWS event stream with valid checksums; its payload is a part of `bytes`. */
export interface Frame {
  readonly headers: FrameHeaders
  readonly bytes: Buffer
  readonly payloadStart: number
  readonly payloadEnd: number
}

export function payloadBytesOf({ payloadStart, payloadEnd }: Frame): number {
  return payloadEnd - payloadStart
}

export function payloadTextOf({ bytes, payloadStart, payloadEnd }: Frame): string {
  return bytes.toString('utf8', payloadStart, payloadEnd)
}

/** Checksums included. The upstream's largest known frame (arguments in one piece) is below 1 MB. */
const MAX_FRAME_BYTES = 2 * 1024 * 1024
/** Amazon's own limit (`AWS_EVENT_STREAM_MAX_HEADERS_SIZE`): unlike a payload, headers take time to read. */
const MAX_HEADERS_BYTES = 128 * 1024
/** The upstream sends three or four. A name takes a microsecond, so 128 KiB of two-byte names would take 30 ms. */
const MAX_HEADERS = 64
const LENGTHS_BYTES = 8
const PRELUDE_BYTES = 12
const CHECKSUM_BYTES = 4
const MIN_FRAME_BYTES = PRELUDE_BYTES + CHECKSUM_BYTES
/** A frame that is split between chunks starts with this buffer, which doubles as bytes arrive. */
const FIRST_PARTIAL_BYTES = 512
const NOTHING = Buffer.alloc(0)

/**
 * Cuts the upstream's bytes into frames.
 *
 * ┌─────────────┬───────────────┬────────────┬─────────┬─────────┬────────────┐
 * │ total bytes │ headers bytes │ CRC of the │ headers │ payload │ CRC of all │
 * │     u32     │      u32      │ first two  │         │         │ before it  │
 * └─────────────┴───────────────┴────────────┴─────────┴─────────┴────────────┘
 * 0             4               8            12                   total - 4
 *
 * Strict: a wrong byte fails the stream for good, since skipping a frame would lose text silently. Holds at most one
 * incomplete frame, in a buffer of at most twice the bytes received of it and never more than its length.
 */
export class FrameDecoder {
  readonly #onHold: (bytes: number) => void
  #partial: UnwrittenMemory | null = null
  /** `null` before the prelude has come. */
  #frameBytes: number | null = null
  #failure: GatewayError | null = null

  /** `onHold` hears the bytes held of an incomplete frame, 0 when it is whole; it may refuse with a GatewayError. */
  constructor(onHold: (bytes: number) => void = () => {}) {
    this.#onHold = onHold
  }

  /**
   * Takes bytes cut anywhere. Frames may lie in `chunk`: read them before it is reused. Good
   * frames before a bad one are returned; then `throwIfFailed()` throws.
   * @throws {GatewayError} GW_FRAME_CORRUPT for a wrong checksum, length or header; GW_FRAME_TOO_LARGE for
   * a length, as soon as it is known, or too many headers; what `onHold` throws. Later calls throw the
   * same.
   */
  feed(chunk: Uint8Array): Frame[] {
    this.throwIfFailed()
    const frames: Frame[] = []
    try {
      this.#cut(asBuffer(chunk), frames)
    } catch (error) {
      if (error instanceof GatewayError) this.#failure = error
      this.#forgetPartial()
      if (this.#failure === null || frames.length === 0) throw error
    }
    return frames
  }

  /** @throws {GatewayError} the fault behind the frames that `feed()` returned */
  throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure
  }

  /** Size of the incomplete frame's whole buffer. */
  get heldBytes(): number {
    return this.#partial?.size ?? 0
  }

  /** @throws {GatewayError} GW_STREAM_TRUNCATED inside a frame */
  end(): void {
    this.throwIfFailed()
    if (this.#partialBytes === 0) return
    const detail = `${this.#partialBytes} bytes of an incomplete frame`
    this.#forgetPartial()
    this.#failure = new GatewayError('GW_STREAM_TRUNCATED', detail)
    throw this.#failure
  }

  get #partialBytes(): number {
    return this.#partial?.writtenBytes ?? 0
  }

  #cut(chunk: Buffer, frames: Frame[]): void {
    let at = this.#partialBytes === 0 ? 0 : this.#completePartial(chunk, frames)
    while (chunk.length - at >= PRELUDE_BYTES) {
      const frameBytes = this.#checkPrelude(chunk, at)
      if (chunk.length - at < frameBytes) {
        this.#frameBytes = frameBytes
        break
      }
      frames.push(this.#frameAt(chunk, at, frameBytes))
      at += frameBytes
    }
    if (at < chunk.length) this.#keep(chunk, at, chunk.length)
  }

  /** Returns how many bytes of `chunk` were used. */
  #completePartial(chunk: Buffer, frames: Frame[]): number {
    let used = 0
    if (this.#partialBytes < PRELUDE_BYTES) {
      used = this.#keep(chunk, 0, PRELUDE_BYTES - this.#partialBytes)
      if (this.#partialBytes < PRELUDE_BYTES) return used
    }
    const frameBytes = this.#frameBytes ?? this.#checkPrelude(this.#heldPart, 0)
    this.#frameBytes = frameBytes
    used += this.#keep(chunk, used, used + frameBytes - this.#partialBytes)
    if (this.#partialBytes < frameBytes) return used
    frames.push(this.#frameAt(this.#heldPart, 0, frameBytes))
    this.#forgetPartial() // the frame just made keeps the buffer
    return used
  }

  get #heldPart(): Buffer {
    return this.#partial?.written() ?? NOTHING
  }

  /** Appends what `chunk` has of `start` to `end`; returns how many bytes that was. */
  #keep(chunk: Buffer, start: number, end: number): number {
    const stop = Math.min(end, chunk.length)
    return this.#roomFor(this.#partialBytes + stop - start).append(chunk, start, stop)
  }

  #roomFor(needed: number): UnwrittenMemory {
    const before = this.#partial
    if (before !== null && needed <= before.size) return before
    const doubled = Math.max(needed, 2 * this.#partialBytes, FIRST_PARTIAL_BYTES)
    const bytes = Math.min(doubled, this.#frameBytes ?? doubled)
    this.#onHold(bytes)
    const grown = new UnwrittenMemory(bytes)
    if (before !== null) {
      grown.append(before.written())
      before.free() // no frame is made of it
    }
    this.#partial = grown
    return grown
  }

  #forgetPartial(): void {
    if (this.#partial !== null) this.#onHold(0)
    this.#partial = null
    this.#frameBytes = null
  }

  /** Verifies the checksum first: a damaged length must not be taken for a large frame. */
  #checkPrelude(bytes: Buffer, at: number): number {
    if (checksumOf(bytes, at, at + LENGTHS_BYTES) !== bytes.readUInt32BE(at + LENGTHS_BYTES)) {
      throw corrupt('the checksum of a prelude is wrong')
    }
    const frameBytes = bytes.readUInt32BE(at)
    if (frameBytes > MAX_FRAME_BYTES) {
      throw new GatewayError('GW_FRAME_TOO_LARGE', `a frame of ${frameBytes} bytes`)
    }
    const headersBytes = bytes.readUInt32BE(at + 4)
    if (frameBytes < MIN_FRAME_BYTES || headersBytes > frameBytes - MIN_FRAME_BYTES) {
      throw corrupt('the lengths in a prelude contradict each other')
    }
    if (headersBytes > MAX_HEADERS_BYTES) {
      throw new GatewayError('GW_FRAME_TOO_LARGE', `a frame with ${headersBytes} bytes of headers`)
    }
    return frameBytes
  }

  /** Expects a verified prelude and all `frameBytes`. */
  #frameAt(bytes: Buffer, at: number, frameBytes: number): Frame {
    const checksumAt = at + frameBytes - CHECKSUM_BYTES
    if (checksumOf(bytes, at, checksumAt) !== bytes.readUInt32BE(checksumAt)) {
      throw corrupt('the checksum of a frame is wrong')
    }
    const payloadStart = at + PRELUDE_BYTES + bytes.readUInt32BE(at + 4)
    return {
      headers: knownHeaders.get(bytes, at + PRELUDE_BYTES, payloadStart),
      bytes,
      payloadStart,
      payloadEnd: checksumAt
    }
  }
}

function asBuffer(bytes: Uint8Array): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** The usual three headers take about 90 bytes. */
const MAX_BLOCK_BYTES = 256
const MAX_ENTRIES = 16

interface KnownBlock {
  readonly block: Buffer
  readonly headers: FrameHeaders
}

/** Streams repeat a handful of blocks: comparing costs 0.07 µs, parsing 0.6 µs. */
class HeaderCache {
  /** Several may have one length: `metadataEvent` and `meteringEvent`, which end every answer. */
  readonly #byLength = new Map<number, readonly KnownBlock[]>()
  #size = 0

  /** @throws {GatewayError} as `parseHeaders` */
  get(bytes: Buffer, start: number, end: number): FrameHeaders {
    const length = end - start
    const known = this.#byLength.get(length)
    if (known !== undefined) {
      for (const { block, headers } of known) {
        if (bytes.compare(block, 0, length, start, end) === 0) return headers
      }
    }
    const block = bytes.subarray(start, end)
    const headers = Object.freeze(parseHeaders(block))
    if (length <= MAX_BLOCK_BYTES) this.#remember({ block: Buffer.from(block), headers })
    return headers
  }

  /** Starts over when full: frequent blocks are soon back. */
  #remember(known: KnownBlock): void {
    if (this.#size >= MAX_ENTRIES) this.#byLength.clear()
    this.#size = this.#size >= MAX_ENTRIES ? 1 : this.#size + 1
    const { length } = known.block
    this.#byLength.set(length, [...(this.#byLength.get(length) ?? []), known])
  }
}

const knownHeaders = new HeaderCache()

/** Value lengths by wire type; null: a 2-byte length precedes the value. */
const VALUE_BYTES: readonly (number | null)[] = [0, 0, 1, 2, 4, 8, null, null, 8, 16]
const TEXT_TYPE = 7

/**
 * Reads a frame's header block; the last of two equal names wins.
 *
 * ┌────────────┬──────┬──────┬─────────────────────────┐
 * │ name bytes │ name │ type │ value, see VALUE_BYTES  │  repeated until the block ends
 * │     u8     │ utf8 │  u8  │ or u16 length and bytes │
 * └────────────┴──────┴──────┴─────────────────────────┘
 *
 * The record has no prototype: a name such as `constructor` finds nothing that the upstream did not send.
 *
 * @throws {GatewayError} GW_FRAME_CORRUPT if a value leaves the block or has an unknown type; GW_FRAME_TOO_LARGE for more
 *   than MAX_HEADERS
 */
export function parseHeaders(block: Buffer): FrameHeaders {
  const headers: Record<string, string | null> = Object.create(null)
  let at = 0
  let count = 0
  while (at < block.length) {
    if (++count > MAX_HEADERS) {
      throw new GatewayError('GW_FRAME_TOO_LARGE', `a frame with more than ${MAX_HEADERS} headers`)
    }
    const nameEnd = at + 1 + block.readUInt8(at)
    // The type byte follows the name, so the name must end before the block.
    if (nameEnd >= block.length) throw corrupt('a header name leaves the header block')
    const name = block.toString('utf8', at + 1, nameEnd)
    const type = block.readUInt8(nameEnd)
    const known = VALUE_BYTES[type]
    if (known === undefined) throw corrupt(`header type ${type} does not exist`)
    const start = nameEnd + (known === null ? 3 : 1)
    if (start > block.length) throw corrupt('a header length leaves the header block')
    const end = start + (known ?? block.readUInt16BE(nameEnd + 1))
    if (end > block.length) throw corrupt('a header value leaves the header block')
    headers[name] = type === TEXT_TYPE ? block.toString('utf8', start, end) : null
    at = end
  }
  return headers
}

function corrupt(detail: string): GatewayError {
  return new GatewayError('GW_FRAME_CORRUPT', detail)
}

/** Shorter parts are summed here: a view for zlib costs more than zlib saves, and leaves garbage. */
const SHORT_BYTES = 256
const BYTE_VALUES = 256
const STEP_BYTES = 8

/**
 * Remainder of each byte in a CRC-32 (polynomial 0xEDB88320, reflected), and behind those the same with one to seven bytes
 * of zeros after it, so that eight bytes are one step.
 */
const REMAINDERS = new Int32Array(STEP_BYTES * BYTE_VALUES)
for (let byte = 0; byte < BYTE_VALUES; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  REMAINDERS[byte] = crc
}
for (let at = BYTE_VALUES; at < REMAINDERS.length; at++) {
  const crc = REMAINDERS[at - BYTE_VALUES] ?? 0
  REMAINDERS[at] = (crc >>> 8) ^ (REMAINDERS[crc & 0xff] ?? 0)
}

/** CRC-32 of the bytes from `start` to `end`. */
export function checksumOf(bytes: Buffer, start: number, end: number): number {
  if (end - start > SHORT_BYTES) return crc32(bytes.subarray(start, end))
  let crc = -1
  let at = start
  for (; at + STEP_BYTES <= end; at += STEP_BYTES) {
    const word = byteAt(bytes, at) | (byteAt(bytes, at + 1) << 8) | (byteAt(bytes, at + 2) << 16)
    const first = crc ^ word ^ (byteAt(bytes, at + 3) << 24)
    crc =
      remainderOf(first & 0xff, 7) ^
      remainderOf((first >>> 8) & 0xff, 6) ^
      remainderOf((first >>> 16) & 0xff, 5) ^
      remainderOf(first >>> 24, 4) ^
      remainderOf(byteAt(bytes, at + 4), 3) ^
      remainderOf(byteAt(bytes, at + 5), 2) ^
      remainderOf(byteAt(bytes, at + 6), 1) ^
      remainderOf(byteAt(bytes, at + 7), 0)
  }
  for (; at < end; at++) crc = (crc >>> 8) ^ remainderOf((crc ^ byteAt(bytes, at)) & 0xff, 0)
  return ~crc >>> 0
}

function remainderOf(byte: number, zeros: number): number {
  return REMAINDERS[zeros * BYTE_VALUES + byte] ?? 0
}

function byteAt(bytes: Uint8Array, at: number): number {
  return bytes[at] ?? 0
}

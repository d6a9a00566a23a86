import { crc32 } from 'node:zlib'
import { encodeHeaders, type HeaderInput } from './frame-headers.ts'

const PRELUDE_BYTES = 12
const CHECKSUM_BYTES = 4

/**
 * Writes frames that share their headers, which are encoded once. See `FrameDecoder` for the format.
 */
export class FrameEncoder {
  readonly #headers: Buffer

  constructor(headers: Readonly<Record<string, HeaderInput>>) {
    this.#headers = encodeHeaders(headers)
  }

  /** One whole frame around `payload`; a string is written as UTF-8. */
  encode(payload: Uint8Array | string): Buffer {
    const payloadBytes = typeof payload === 'string' ? Buffer.byteLength(payload) : payload.length
    const payloadAt = PRELUDE_BYTES + this.#headers.length
    const frame = Buffer.allocUnsafe(payloadAt + payloadBytes + CHECKSUM_BYTES)
    frame.writeUInt32BE(frame.length, 0)
    frame.writeUInt32BE(this.#headers.length, 4)
    frame.writeUInt32BE(crc32(frame.subarray(0, 8)), 8)
    this.#headers.copy(frame, PRELUDE_BYTES)
    if (typeof payload === 'string') frame.write(payload, payloadAt)
    else frame.set(payload, payloadAt)
    const checksumAt = frame.length - CHECKSUM_BYTES
    frame.writeUInt32BE(crc32(frame.subarray(0, checksumAt)), checksumAt)
    return frame
  }
}

/** One frame with headers of its own. */
export function encodeFrame(
  headers: Readonly<Record<string, HeaderInput>>,
  payload: Uint8Array | string
): Buffer {
  return new FrameEncoder(headers).encode(payload)
}

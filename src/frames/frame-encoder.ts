import { crc32 } from 'node:zlib'

const PRELUDE_BYTES = 12
const CHECKSUM_BYTES = 4
const TEXT_TYPE = 7

/** Writes frames with common headers, which are encoded once. See `FrameDecoder` for the format. */
export class FrameEncoder {
  readonly #headers: Buffer
  /** Overwritten for each frame. */
  readonly #prelude = Buffer.alloc(PRELUDE_BYTES)
  readonly #checksum = Buffer.alloc(CHECKSUM_BYTES)

  /** A `Buffer` holds encoded headers. */
  constructor(headers: Readonly<Record<string, string>> | Buffer) {
    this.#headers = Buffer.isBuffer(headers) ? headers : encodeHeaders(headers)
  }

  encode(payload: Uint8Array | string): Buffer {
    const body = typeof payload === 'string' ? Buffer.from(payload) : payload
    const prelude = this.#prelude
    prelude.writeUInt32BE(PRELUDE_BYTES + this.#headers.length + body.length + CHECKSUM_BYTES, 0)
    prelude.writeUInt32BE(this.#headers.length, 4)
    prelude.writeUInt32BE(crc32(prelude.subarray(0, 8)), 8)
    const withHeaders = crc32(this.#headers, crc32(prelude))
    this.#checksum.writeUInt32BE(crc32(body, withHeaders))
    return Buffer.concat([prelude, this.#headers, body, this.#checksum])
  }
}

export function encodeFrame(
  headers: Readonly<Record<string, string>>,
  payload: Uint8Array | string
): Buffer {
  return new FrameEncoder(headers).encode(payload)
}

/** @throws {RangeError} for names and values that are too long */
function encodeHeaders(headers: Readonly<Record<string, string>>): Buffer {
  const blocks = Object.entries(headers).map(([name, value]) => {
    const [nameBytes, valueBytes] = [Buffer.byteLength(name), Buffer.byteLength(value)]
    const block = Buffer.alloc(4 + nameBytes + valueBytes)
    block.writeUInt8(nameBytes, 0)
    block.write(name, 1)
    block.writeUInt8(TEXT_TYPE, 1 + nameBytes)
    block.writeUInt16BE(valueBytes, 2 + nameBytes)
    block.write(value, 4 + nameBytes)
    return block
  })
  return Buffer.concat(blocks)
}

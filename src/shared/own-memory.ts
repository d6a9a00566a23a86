/** Bytes that may lie unused in front of others in the same memory. */
export const HEADROOM_BYTES = 256

/** Memory for so many bytes, with room in front of them. */
export function allocateWithHeadroom(bytes: number): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(HEADROOM_BYTES + bytes), HEADROOM_BYTES, bytes)
}

/** Whether nothing but these bytes, and room in front of them, is in their memory: then it can be moved or freed. */
export function ownsMemory(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes
  const isWhole = byteOffset <= HEADROOM_BYTES && byteOffset + byteLength === buffer.byteLength
  return isWhole && buffer instanceof ArrayBuffer && !buffer.detached
}

/** What has memory of its own gives the rest of it back, and can still be moved out of a thread. */
export function shorten(bytes: Buffer<ArrayBuffer>, length: number): Buffer<ArrayBuffer> {
  const { buffer, byteOffset } = bytes
  const isAlone: boolean = ownsMemory(bytes)
  if (!isAlone) return Buffer.from(buffer, byteOffset, length)
  return Buffer.from(buffer.transfer(byteOffset + length), byteOffset, length)
}

/** Frees the memory of these bytes now instead of with the next garbage collection, if nothing else is in it. */
export function freeMemory(bytes: Uint8Array): void {
  if (ownsMemory(bytes)) bytes.buffer.transfer(0)
}

/**
 * The same text in memory of its own. A piece that was cut out of a long text keeps all of it alive: whatever outlives
 * the text it was cut from goes through here.
 */
export function ownText(text: string): string {
  const copy: unknown = JSON.parse(JSON.stringify(text))
  return typeof copy === 'string' ? copy : text
}

const SMALLEST_BYTES = 4 * 1024
const LARGEST_BYTES = 64 * 1024

/**
 * Bytes that come in chunks and are wanted whole. A chunk may be of one byte and takes a hundred and more of the heap
 * while it is kept, and the whole of what was read with it: so they are copied together. The caller must bound what it
 * appends.
 */
export class ByteBlocks {
  /** All but the last are full. Bounded by what is appended, and a block. */
  #blocks: Buffer[] = []
  #bytes = 0
  /** Left in the last one. */
  #free = 0

  get bytes(): number {
    return this.#bytes
  }

  /** The chunk is copied, and may be freed. */
  append(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.byteLength; ) {
      const block = this.#last()
      const piece = chunk.subarray(at, at + this.#free)
      block.set(piece, block.byteLength - this.#free)
      this.#free -= piece.byteLength
      at += piece.byteLength
    }
    this.#bytes += chunk.byteLength
  }

  /** All bytes as one; what they were collected in is freed. */
  take(): Buffer {
    const whole = Buffer.concat(this.#blocks, this.#bytes)
    this.clear()
    return whole
  }

  clear(): void {
    for (const block of this.#blocks) freeMemory(block)
    this.#blocks = []
    this.#bytes = 0
    this.#free = 0
  }

  /** With room for a byte at least. Each is twice as large as the one before it, up to a bound. */
  #last(): Buffer {
    const last = this.#blocks.at(-1)
    if (last !== undefined && this.#free > 0) return last
    const next = Math.min(LARGEST_BYTES, 2 * (last?.byteLength ?? SMALLEST_BYTES / 2))
    const block = Buffer.allocUnsafeSlow(next)
    this.#blocks.push(block)
    this.#free = block.byteLength
    return block
  }
}

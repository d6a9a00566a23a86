import { freeMemory } from './own-memory.ts'

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

/** Bytes that may lie unused in front of others in the same memory. */
export const HEADROOM_BYTES = 256

/** Memory for so many bytes, with room in front of them. */
export function allocateWithHeadroom(bytes: number): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(HEADROOM_BYTES + bytes), HEADROOM_BYTES, bytes)
}

/** Returns true while the borrower of a memory still reads it. */
type IsReading = () => boolean

/** Memory that was lent, with all who may still read it. Bounded by how often one memory is lent. */
const lent = new WeakMap<ArrayBufferLike, readonly IsReading[]>()

/** Keeps the memory of these bytes from being freed or moved for as long as `isReading()` says, perhaps on behalf of the kernel. */
export function lendMemory({ buffer }: Uint8Array, isReading: IsReading): void {
  lent.set(buffer, [...(lent.get(buffer) ?? []), isReading])
}

/**
 * Returns true if only these bytes, and room in front of them, are in their memory, and no borrower reads it: then it
 * can be moved or freed.
 */
export function ownsMemory(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes
  const isWhole = byteOffset <= HEADROOM_BYTES && byteOffset + byteLength === buffer.byteLength
  if (!isWhole || !(buffer instanceof ArrayBuffer) || buffer.detached) return false
  return lent.get(buffer)?.some((isReading) => isReading()) !== true
}

/** Shortens a buffer with memory of its own, which can still be moved out of a thread. */
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
 * Memory that is filled from its beginning. It is not cleared first, so the bytes that are still unwritten may be another
 * request's: only bytes that were written are ever returned. The one place that allocates such memory.
 */
export class UnwrittenMemory {
  readonly #memory: Buffer<ArrayBuffer>
  #written = 0

  constructor(bytes: number) {
    // Only `written()` and `whole()` return any of it, and both know how much was written.
    this.#memory = Buffer.allocUnsafeSlow(bytes) // oxlint-disable-line no-restricted-properties
  }

  /** All bytes, written or not. */
  get size(): number {
    return this.#memory.byteLength
  }

  get writtenBytes(): number {
    return this.#written
  }

  /** Copies a part of `chunk` as far as there is room. Returns how many bytes that were. */
  append(chunk: Uint8Array, start = 0, end = chunk.byteLength): number {
    const stop = Math.min(end, start + this.size - this.#written)
    if (stop <= start) return 0
    const isAll = start === 0 && stop === chunk.byteLength
    this.#memory.set(isAll ? chunk : chunk.subarray(start, stop), this.#written)
    this.#written += stop - start
    return stop - start
  }

  /** Writes the whole characters of `text` that fit, in UTF-8, or a few less. Returns how many UTF-16 units that were. */
  appendText(text: string): number {
    const { read, written } = Utf8.encodeInto(text, this.#memory.subarray(this.#written))
    this.#written += written
    return read
  }

  /** Forgets what was written after this many bytes. */
  rewindTo(bytes: number): void {
    this.#written = Math.min(bytes, this.#written)
  }

  /** Returns a view of the bytes that were written. */
  written(): Buffer<ArrayBuffer> {
    return this.#memory.subarray(0, this.#written)
  }

  /**
   * Returns all of it.
   *
   * @throws {Error} if some of it was not written
   */
  whole(): Buffer<ArrayBuffer> {
    if (this.#written === this.size) return this.#memory
    throw new Error(`${this.#written} of ${this.size} bytes were written`)
  }

  /** Frees it now instead of with the next garbage collection. */
  free(): void {
    freeMemory(this.#memory)
    this.#written = 0
  }
}

const Utf8 = new TextEncoder()

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
  #blocks: UnwrittenMemory[] = []
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  /** The chunk is copied, and may be freed. */
  append(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.byteLength; ) at += this.#last().append(chunk, at)
    this.#bytes += chunk.byteLength
  }

  /** All bytes as one; what they were collected in is freed. */
  take(): Buffer {
    const whole = Buffer.concat(this.#blocks.map((block) => block.written()))
    this.clear()
    return whole
  }

  clear(): void {
    for (const block of this.#blocks) block.free()
    this.#blocks = []
    this.#bytes = 0
  }

  /** With room for a byte at least. Each is twice as large as the one before it, up to a bound. */
  #last(): UnwrittenMemory {
    const last = this.#blocks.at(-1)
    if (last !== undefined && last.writtenBytes < last.size) return last
    const block = new UnwrittenMemory(
      Math.min(LARGEST_BYTES, 2 * (last?.size ?? SMALLEST_BYTES / 2))
    )
    this.#blocks.push(block)
    return block
  }
}

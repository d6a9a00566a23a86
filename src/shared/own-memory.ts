/** Unused bytes in front of others in the same memory. */
export const HEADROOM_BYTES = 256

export function allocateWithHeadroom(bytes: number): Buffer<ArrayBuffer> {
  return Buffer.from(new ArrayBuffer(HEADROOM_BYTES + bytes), HEADROOM_BYTES, bytes)
}

type IsReading = () => boolean

/** Lent memory and its readers. Bounded by how often one memory is lent. */
const lent = new WeakMap<ArrayBufferLike, readonly IsReading[]>()

/** Keeps this memory from being freed or moved while `isReading()`, perhaps by the kernel. */
export function lendMemory({ buffer }: Uint8Array, isReading: IsReading): void {
  lent.set(buffer, [...(lent.get(buffer) ?? []), isReading])
}

/** True if no other bytes are in this memory and no borrower reads it: then it can be moved or freed. */
export function ownsMemory(bytes: Uint8Array): bytes is Uint8Array<ArrayBuffer> {
  const { buffer, byteOffset, byteLength } = bytes
  const isWhole = byteOffset <= HEADROOM_BYTES && byteOffset + byteLength === buffer.byteLength
  if (!isWhole || !(buffer instanceof ArrayBuffer) || buffer.detached) return false
  return lent.get(buffer)?.some((isReading) => isReading()) !== true
}

export function shorten(bytes: Buffer<ArrayBuffer>, length: number): Buffer<ArrayBuffer> {
  const { buffer, byteOffset } = bytes
  const isAlone: boolean = ownsMemory(bytes)
  if (!isAlone) return Buffer.from(buffer, byteOffset, length)
  return Buffer.from(buffer.transfer(byteOffset + length), byteOffset, length)
}

/** Frees the memory now instead of with the next garbage collection, unless it is shared. */
export function freeMemory(bytes: Uint8Array): void {
  if (ownsMemory(bytes)) bytes.buffer.transfer(0)
}

/** Memory of fewer bytes costs less when V8 collects it, and may be a pool's. */
export const MIN_FREED_BYTES = 16 * 1024

/** Like `freeMemory()`, for long bytes: memory of buffers makes V8 collect its whole heap every few dozen requests. */
export function freeIfLong(bytes: Uint8Array): void {
  if (bytes.byteLength >= MIN_FREED_BYTES) freeMemory(bytes)
}

/** Memory filled from its beginning and not cleared: only written bytes, never another request's, are returned. */
export class UnwrittenMemory {
  readonly #memory: Buffer<ArrayBuffer>
  #written = 0

  constructor(bytes: number) {
    // Only `written()` and `whole()` return memory, and both know how much was written.
    this.#memory = Buffer.allocUnsafeSlow(bytes) // oxlint-disable-line no-restricted-properties
  }

  get size(): number {
    return this.#memory.byteLength
  }

  get writtenBytes(): number {
    return this.#written
  }

  append(chunk: Uint8Array, start = 0, end = chunk.byteLength): number {
    const stop = Math.min(end, start + this.size - this.#written)
    if (stop <= start) return 0
    const isAll = start === 0 && stop === chunk.byteLength
    this.#memory.set(isAll ? chunk : chunk.subarray(start, stop), this.#written)
    this.#written += stop - start
    return stop - start
  }

  /** Writes whole characters as UTF-8, as many as fit or a few less; returns the number of UTF-16 units. */
  appendText(text: string): number {
    const { read, written } = Utf8.encodeInto(text, this.#memory.subarray(this.#written))
    this.#written += written
    return read
  }

  rewindTo(bytes: number): void {
    this.#written = Math.min(bytes, this.#written)
  }

  written(): Buffer<ArrayBuffer> {
    return this.#memory.subarray(0, this.#written)
  }

  /** @throws {Error} if some bytes were not written */
  whole(): Buffer<ArrayBuffer> {
    if (this.#written === this.size) return this.#memory
    throw new Error(`${this.#written} of ${this.size} bytes were written`)
  }

  free(): void {
    freeMemory(this.#memory)
    this.#written = 0
  }
}

const Utf8 = new TextEncoder()

/** Copies text out of a longer one that it would otherwise keep alive. For whatever outlives its source. */
export function ownText(text: string): string {
  const copy: unknown = JSON.parse(JSON.stringify(text))
  return typeof copy === 'string' ? copy : text
}

const SMALLEST_BYTES = 4 * 1024
const LARGEST_BYTES = 64 * 1024

/** Collects chunks, which would each keep a hundred bytes and all that was read with them. The caller must bound it. */
export class ByteBlocks {
  /** All but the last are full. Bounded by what is appended, and a block. */
  #blocks: UnwrittenMemory[] = []
  #bytes = 0

  get bytes(): number {
    return this.#bytes
  }

  append(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.byteLength; ) at += this.#last().append(chunk, at)
    this.#bytes += chunk.byteLength
  }

  take(): Buffer {
    try {
      return Buffer.concat(this.#blocks.map((block) => block.written()))
    } finally {
      this.clear()
    }
  }

  clear(): void {
    for (const block of this.#blocks) block.free()
    this.#blocks = []
    this.#bytes = 0
  }

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

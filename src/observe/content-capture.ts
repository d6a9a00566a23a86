import { constants, type FileHandle, open } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { ByteBlocks } from '../shared/own-memory.ts'
import { SecretMasker } from './secret-masker.ts'

export interface ContentCaptureOptions {
  readonly folder: string
  readonly secrets: () => readonly string[]
  readonly maxBytes: number
  readonly make: () => Promise<void>
  /** Reserves memory until the disk has the bytes. Returns false if there is none. */
  readonly take: (bytes: number) => boolean
  readonly free: (bytes: number) => void
  readonly grow: (bytes: number) => boolean
  readonly onOver: (isKept: boolean) => Promise<void>
  readonly onFailure: (cause: unknown) => void
}

/** Masked and written at a time: a fraction of a millisecond of the event loop. */
const PIECE_BYTES = 32 * 1024
const PATIENCE_MS = 2_000
const FACTS_FILE = 'capture.json'

export type HeldContent = string | Uint8Array

/** Files of one request while it runs. If it is too large or the disk too slow, it is cut off, and the facts say so. */
export class ContentCapture {
  readonly folder: string
  readonly #options: ContentCaptureOptions
  /** Bounded by what a turn asks the upstream. */
  readonly #files = new Map<string, CaptureFile>()
  #made: Promise<void> | null = null
  #bytes = 0
  #cut: string | null = null
  #work: Promise<void> = Promise.resolve()
  #leftMs = PATIENCE_MS
  #isOver = false

  constructor(options: ContentCaptureOptions) {
    this.#options = options
    this.folder = options.folder
  }

  get bytes(): number {
    return this.#bytes
  }

  get cut(): string | null {
    return this.#cut
  }

  /** Copies the bytes. */
  append(file: string, bytes: Uint8Array): void {
    if (this.#cut !== null || this.#isOver) return
    if (this.#options.take(bytes.byteLength)) this.#file(file).copy(bytes)
    else this.#cutOff('the disk was too slow')
  }

  /** Like `append()`, without a copy: the owner holds the content until `settled()`. */
  hold(file: string, held: HeldContent): void {
    if (this.#cut === null && !this.#isOver) this.#file(file).hold(held)
  }

  /** Waits until all is written or the patience of this request is over; nothing is held afterwards. */
  async settled(): Promise<void> {
    const startedAt = performance.now()
    const timeout = new AbortController()
    const isInTime = await Promise.race([
      this.flush().then(() => true),
      delay(this.#leftMs, false, { signal: timeout.signal }).catch(() => true)
    ])
    timeout.abort()
    this.#leftMs = Math.max(1, this.#leftMs - (performance.now() - startedAt))
    if (!isInTime) this.#cutOff('the disk was too slow')
  }

  flush(): Promise<void> {
    this.#work = this.#work.then(() => this.#flush())
    return this.#work
  }

  async keep(facts: Readonly<Record<string, unknown>>): Promise<void> {
    await this.flush()
    this.#isOver = true
    try {
      for (const file of this.#files.values()) await this.#end(file)
      const masked = [...this.#files.values()].flatMap(({ name, masker }) =>
        masker.hits > 0 ? [name] : []
      )
      const text = JSON.stringify({ ...facts, masked, cut: this.#cut }, null, 2)
      const masker = new SecretMasker(this.#options.secrets)
      const bytes = Buffer.concat([masker.push(Buffer.from(text)), masker.end()])
      await this.#make()
      await using file = await open(join(this.folder, FACTS_FILE), 'wx', 0o600)
      await file.writeFile(bytes)
    } catch (cause) {
      this.#options.onFailure(cause)
    }
    await this.#closeAll() // a file that is left open ends the process on Node 26
    await this.#options.onOver(true)
  }

  async discard(): Promise<void> {
    this.#isOver = true
    this.#drop()
    await this.#work
    await this.#closeAll()
    await this.#options.onOver(false)
  }

  async #closeAll(): Promise<void> {
    for (const { handle } of this.#files.values()) await handle?.close().catch(() => {})
  }

  #file(name: string): CaptureFile {
    const known = this.#files.get(name)
    if (known !== undefined) return known
    const file = new CaptureFile(name, new SecretMasker(this.#options.secrets))
    this.#files.set(name, file)
    return file
  }

  async #flush(): Promise<void> {
    try {
      for (const file of this.#files.values()) {
        for (let piece = file.next(); piece !== null; piece = file.next()) {
          this.#options.free(piece.copied)
          if (this.#cut === null) await this.#write(file, file.masker.push(piece.bytes))
        }
      }
    } catch (cause) {
      this.#options.onFailure(cause)
      this.#cutOff('it could not be written')
    }
  }

  async #end(file: CaptureFile): Promise<void> {
    if (this.#cut === null) await this.#write(file, file.masker.end())
  }

  async #write(file: CaptureFile, bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength === 0) return
    const { maxBytes, grow } = this.#options
    this.#bytes += bytes.byteLength
    if (!grow(bytes.byteLength) || this.#bytes > maxBytes) return this.#cutOff('it is too large')
    await this.#make()
    const { O_WRONLY, O_CREAT, O_EXCL } = constants
    file.handle ??= await open(join(this.folder, file.name), O_WRONLY | O_CREAT | O_EXCL, 0o600)
    await file.handle.writeFile(bytes)
  }

  #make(): Promise<void> {
    this.#made ??= this.#options.make()
    return this.#made
  }

  #cutOff(why: string): void {
    this.#cut ??= why
    this.#drop()
  }

  #drop(): void {
    for (const file of this.#files.values()) this.#options.free(file.drop())
  }
}

interface Piece {
  readonly bytes: Uint8Array
  readonly copied: number
}

class CaptureFile {
  readonly name: string
  readonly masker: SecretMasker
  handle: FileHandle | null = null
  /** Bounded by the memory for copies, and by the owners of the rest. */
  readonly #queue: (ByteBlocks | HeldContent)[] = []
  #at = 0

  constructor(name: string, masker: SecretMasker) {
    this.name = name
    this.masker = masker
  }

  copy(bytes: Uint8Array): void {
    let last = this.#queue.at(-1)
    if (!(last instanceof ByteBlocks) || last.bytes > PIECE_BYTES) {
      last = new ByteBlocks()
      this.#queue.push(last)
    }
    last.append(bytes)
  }

  hold(held: HeldContent): void {
    if (held.length > 0) this.#queue.push(held)
  }

  next(): Piece | null {
    const first = this.#queue[0]
    if (first === undefined) return null
    if (first instanceof ByteBlocks) {
      this.#queue.shift()
      const bytes = first.take()
      return { bytes, copied: bytes.byteLength }
    }
    const end = typeof first === 'string' ? endOf(first, this.#at) : this.#at + PIECE_BYTES
    const piece = first.slice(this.#at, end)
    this.#at = end
    if (end >= first.length) {
      this.#queue.shift()
      this.#at = 0
    }
    return { bytes: typeof piece === 'string' ? Buffer.from(piece) : piece, copied: 0 }
  }

  drop(): number {
    const blocks = this.#queue.filter((item) => item instanceof ByteBlocks)
    const copied = blocks.reduce((sum, { bytes }) => sum + bytes, 0)
    this.#queue.length = 0
    this.#at = 0
    return copied
  }
}

/** Never splits a character. */
function endOf(text: string, at: number): number {
  const end = at + PIECE_BYTES / 2
  const last = text.charCodeAt(end - 1)
  return last >= 0xd800 && last <= 0xdbff ? end - 1 : end
}

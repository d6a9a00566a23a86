import { lstat, mkdir, readdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { makeFolder, makeInnerFolder } from '../shared/private-files.ts'
import { ContentCapture } from './content-capture.ts'
import { debugName } from './debug-name.ts'

export interface ContentRecorderOptions {
  /** Folder of the debug files; captures are in `captures` below. */
  readonly folder: string
  readonly limits: () => { readonly maxBytes: number; readonly maxAgeMs: number }
  readonly writers: number
  readonly bufferBytes: number
  readonly log: { warn(facts: object, message: string): void }
  /** Epoch ms. */
  readonly now?: () => number
}

const MAX_CAPTURES = 200
/** Captures in one worker at once: each has some files open. */
const MAX_OPEN = 32
const SHARE = 1 / 8
/** Share of all bytes for finished captures; the rest is for open ones. */
const KEPT_SHARE = 1 / 2
const FLUSH_MS = 100
const SWEEP_SOON_MS = 500
const SWEEP_MS = 60_000

const CAPTURE_NAME = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(\d{3})Z-[\w-]*(\.open)?$/

/**
 * Keeps whole requests and answers on disk (`DEBUG_CONTENT`), private and bounded in number, bytes and age. A slow disk
 * costs the capture, never a request.
 *
 * ```
 *   captures/20261126T120102003Z-ID-0a1b2c3d.open ──keep()──▶ captures/20261126T120102003Z-ID-0a1b2c3d
 *                                                 └─discard()──▶ gone; killed: stays, and is swept like the others
 * ```
 */
export class ContentRecorder {
  readonly #options: ContentRecorderOptions
  readonly #folder: string
  readonly #now: () => number
  /** Bounded by MAX_OPEN. */
  readonly #open = new Set<ContentCapture>()
  /** Sizes of finished captures. Bounded by MAX_CAPTURES, and what is kept between two sweeps. */
  #sizes = new Map<string, number>()
  /** Bounded by the warnings that there are. */
  readonly #warned = new Set<string>()
  readonly #flushes: NodeJS.Timeout
  readonly #sweeps: NodeJS.Timeout
  #bufferedBytes = 0
  /** Bytes of open captures, and of those finished since the last sweep. */
  #freshBytes = 0
  #isFlushing = false
  #sweepTimer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: ContentRecorderOptions) {
    this.#options = options
    this.#folder = join(options.folder, 'captures')
    this.#now = options.now ?? Date.now
    this.#flushes = setInterval(() => void this.#flush(), FLUSH_MS).unref() // cannot reject
    this.#sweeps = setInterval(() => this.#sweepSoon(), SWEEP_MS).unref()
    this.#sweepSoon()
  }

  /** Returns `null` if too many are being written. The caller must keep or discard the capture. */
  open(requestId: string, secrets: () => readonly string[]): ContentCapture | null {
    const isFull = this.#freshBytes >= this.#freshLimit || this.#open.size >= MAX_OPEN
    if (this.#isClosed) return null
    if (isFull) {
      this.#warnOnce(
        'some requests are not captured: too many at once, or DEBUG_CONTENT_MAX_BYTES reached'
      )
      return null
    }
    const name = debugName(requestId, this.#now())
    const capture = new ContentCapture({
      folder: join(this.#folder, `${name}.open`),
      secrets,
      maxBytes: this.#options.limits().maxBytes * SHARE,
      make: () => this.#make(`${name}.open`),
      take: (bytes) => this.#take(bytes),
      free: (bytes) => {
        this.#bufferedBytes -= bytes
      },
      grow: (bytes) => {
        this.#freshBytes += bytes
        return this.#freshBytes <= this.#freshLimit
      },
      onOver: (isKept) => this.#over(capture, name, isKept),
      onFailure: (err) => this.#warnOnce('captures cannot be written; check DEBUG_DIR', err)
    })
    this.#open.add(capture)
    return capture
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#flushes)
    clearInterval(this.#sweeps)
    if (this.#sweepTimer !== null) clearTimeout(this.#sweepTimer)
    const deadline = performance.now() + CLOSE_MS
    while (this.#open.size > 0 && performance.now() < deadline) await delay(FLUSH_MS / 10)
  }

  get #freshLimit(): number {
    const { limits, writers } = this.#options
    return (limits().maxBytes * (1 - KEPT_SHARE)) / writers
  }

  async #make(name: string): Promise<void> {
    await makeFolder(this.#options.folder)
    await makeInnerFolder(this.#folder)
    await mkdir(join(this.#folder, name), 0o700)
  }

  #take(bytes: number): boolean {
    if (this.#bufferedBytes + bytes > this.#options.bufferBytes) return false
    this.#bufferedBytes += bytes
    return true
  }

  /** Writes one at a time: captures use one of libuv's threads, never all. */
  async #flush(): Promise<void> {
    if (this.#isFlushing) return
    this.#isFlushing = true
    for (const capture of this.#open) await capture.flush() // cannot reject
    this.#isFlushing = false
  }

  async #over(capture: ContentCapture, name: string, isKept: boolean): Promise<void> {
    const path = join(this.#folder, name)
    try {
      if (isKept) await rename(`${path}.open`, path)
      else await rm(`${path}.open`, { recursive: true, force: true })
    } catch (err) {
      this.#warnOnce('captures cannot be written; check DEBUG_DIR', err)
    }
    this.#open.delete(capture)
    if (!isKept) this.#freshBytes -= capture.bytes
    else this.#sweepSoon()
  }

  #sweepSoon(): void {
    if (this.#isClosed) return
    this.#sweepTimer ??= setTimeout(() => {
      void this.#sweep().catch(() => {}) // there may be no folder yet
    }, SWEEP_SOON_MS).unref()
  }

  async #sweep(): Promise<void> {
    this.#sweepTimer = null
    const mine = new Set([...this.#open].map(({ folder }) => folder))
    const openBytes = [...this.#open].reduce((sum, { bytes }) => sum + bytes, 0)
    const keptBefore = this.#freshBytes - openBytes
    const names = (await readdir(this.#folder)).filter((name) => CAPTURE_NAME.test(name))
    const sizes = new Map<string, number>()
    for (const name of names) sizes.set(name, this.#sizes.get(name) ?? (await this.#sizeOf(name)))
    const { maxBytes, maxAgeMs } = this.#options.limits()
    let count = sizes.size
    let bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0)
    for (const name of names.toSorted()) {
      const isOld = this.#now() - timeOf(name) > maxAgeMs
      if (!isOld && count <= MAX_CAPTURES && bytes <= maxBytes * KEPT_SHARE) break
      const path = join(this.#folder, name)
      if (mine.has(path)) continue
      await rm(path, { recursive: true, force: true }).catch(() => {}) // another process may be at it, too
      count -= 1
      bytes -= sizes.get(name) ?? 0
      sizes.delete(name)
    }
    this.#sizes = new Map([...sizes].filter(([name]) => !name.endsWith('.open')))
    this.#freshBytes -= keptBefore
  }

  async #sizeOf(name: string): Promise<number> {
    const path = join(this.#folder, name)
    let bytes = 0
    for (const file of await readdir(path).catch(() => [])) {
      bytes += (await lstat(join(path, file)).catch(() => null))?.size ?? 0
    }
    return bytes
  }

  #warnOnce(message: string, err?: unknown): void {
    if (this.#warned.has(message)) return
    this.#warned.add(message)
    const { folder, log } = this.#options
    log.warn({ folder, ...(err !== undefined && { err }) }, message)
  }
}

const CLOSE_MS = 2_000

function timeOf(name: string): number {
  const [, year, month, day, hour, minute, second, ms] = CAPTURE_NAME.exec(name) ?? []
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}.${ms}Z`)
}

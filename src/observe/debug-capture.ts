import { readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { createPrivateFile, makeFolder } from '../shared/private-files.ts'
import { debugName } from './debug-name.ts'

export interface DebugCaptureOptions {
  readonly folder: string
  /** Limit for all processes together; the oldest are deleted first. */
  readonly maxFiles: number
  readonly log: { warn(facts: object, message: string): void }
  /** Epoch ms. */
  readonly now?: () => number
}

const MAX_FILE_CHARS = 1024 * 1024

/** Memory of each worker for content on its way to disk (`DEBUG_CONTENT`); taken from that of bodies. */
export const CONTENT_BUFFER_BYTES = 2 * 1024 * 1024

const MAX_WAITING = 16

/** Long requests examined at once, each in a copy; of more only facts are kept. */
const MAX_LOOKED_AT = 2

const FILE_NAME = /^\d{8}T\d{9}Z-[\w-]*\.json$/

/** Keeps facts about requests in private files. The caller must leave out secrets. A full disk hurts no request. */
export class DebugCapture {
  readonly #options: DebugCaptureOptions
  readonly #now: () => number
  #hasWarned = false
  #waiting = 0
  #lookedAt = 0
  #writing: Promise<void> = Promise.resolve()

  constructor(options: DebugCaptureOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
  }

  /** Does the work unless too much is under way; returns `null` then, and if it fails. */
  async lookAt<T>(work: () => Promise<T>): Promise<T | null> {
    if (this.#lookedAt >= MAX_LOOKED_AT) return null
    this.#lookedAt++
    try {
      return await work()
    } catch {
      return null // the request itself went, or failed, for reasons of its own
    } finally {
      this.#lookedAt--
    }
  }

  /** Resolves once the file is written or failed. `members` are further members as JSON text. */
  keep(requestId: string, facts: Readonly<Record<string, unknown>>, members = ''): Promise<void> {
    if (this.#waiting >= MAX_WAITING) return this.#writing
    this.#waiting++
    const name = `${debugName(requestId, this.#now())}.json`
    const own = JSON.stringify(facts, null, 2)
    const text = members === '' ? own : `${own.slice(0, -2)},\n${members}\n}`
    const kept =
      text.length <= MAX_FILE_CHARS ? text : `${text.slice(0, MAX_FILE_CHARS)}\n… cut off\n`
    this.#writing = this.#writing.then(() => this.#write(name, kept))
    return this.#writing
  }

  async #write(name: string, text: string): Promise<void> {
    const { folder, log } = this.#options
    this.#waiting--
    try {
      await makeFolder(folder)
      await createPrivateFile(join(folder, name), text)
      await this.#sweep()
    } catch (err) {
      if (this.#hasWarned) return
      this.#hasWarned = true
      log.warn({ err, folder }, 'debug files cannot be written; check DEBUG_DIR')
    }
  }

  async #sweep(): Promise<void> {
    const { folder, maxFiles } = this.#options
    const names = (await readdir(folder)).filter((name) => FILE_NAME.test(name)).toSorted()
    const old = names.slice(0, Math.max(0, names.length - maxFiles))
    await Promise.all(old.map((name) => unlink(join(folder, name)).catch(() => {})))
  }
}

import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { AllowanceName } from '../ipc/allowance.ts'
import type { AllowanceEntry } from './allowance-core.ts'
import { makeFolderNow } from '../shared/private-files.ts'

/** Of a line, its end included. A name of 72 characters and four numbers of 16 fit. */
const LINE_BYTES = 160

/**
 * Where a worker writes down what its requests hold and have used, so that the primary can read it when the worker has
 * died. A line for each allowance, written over in place: the file does not grow with the requests.
 *
 * ```
 *   k_7f3a/credits 29712960 14500000 2000000 14000000␣␣␣␣…⏎     name, period, used, reserved, recorded
 * ```
 * What is written is safe from the death of all processes, though not from a power cut. It takes some four microseconds.
 */
export class AllowanceJournal {
  readonly #path: string
  readonly #options: AllowanceJournalOptions
  #state: JournalState = { name: 'new' }
  /** The newest of each allowance, in the order of their lines. Bounded by the allowances that there are. */
  readonly #entries = new Map<AllowanceName, AllowanceEntry>()
  /** Where each stands. Bounded by the allowances, too. */
  readonly #lines = new Map<AllowanceName, number>()
  /** The file was made here. */
  #isOurs = false

  constructor(path: string, options: AllowanceJournalOptions) {
    this.#path = path
    this.#options = options
  }

  note(entry: AllowanceEntry): void {
    const { name } = entry
    const line = this.#lines.get(name) ?? this.#lines.size
    this.#lines.set(name, line)
    this.#entries.set(name, entry)
    try {
      switch (this.#state.name) {
        case 'new':
          this.#open()
          break
        case 'open':
          write(this.#state.fd, lineOf(entry), line * LINE_BYTES)
          break
        case 'failed': {
          const { now = () => performance.now() } = this.#options
          if (now() < this.#state.dueAt) return
          this.#open()
          this.#options.onMended?.()
          break
        }
        case 'closed':
      }
    } catch (cause) {
      this.#fail(cause)
    }
  }

  /** The file stays for the primary. */
  close(): void {
    if (this.#state.name === 'open') closeSync(this.#state.fd)
    this.#state = { name: 'closed' }
  }

  /** Writes down everything that there is. */
  #open(): void {
    makeFolderNow(dirname(this.#path))
    const fd = openSync(this.#path, this.#isOurs ? 'r+' : 'wx', 0o600)
    this.#isOurs = true
    try {
      write(fd, Buffer.concat([...this.#entries.values()].map(lineOf)), 0)
    } catch (cause) {
      leaveEmpty(fd)
      throw cause
    }
    this.#state = { name: 'open', fd }
  }

  #fail(cause: unknown): void {
    const { now = () => performance.now(), onFailure } = this.#options
    const before = this.#state
    this.#state = { name: 'failed', dueAt: now() + RETRY_MS }
    if (before.name === 'open') leaveEmpty(before.fd)
    if (before.name !== 'failed') onFailure(cause)
  }
}

/** What would be out of date must not be believed. */
function leaveEmpty(fd: number): void {
  try {
    ftruncateSync(fd)
    closeSync(fd)
  } catch {
    // The disk is gone, and the file with it.
  }
}

export interface AllowanceJournalOptions {
  /** Nothing is written from then on until it is tried again, and the file is left empty. */
  readonly onFailure: (cause: unknown) => void
  /** Everything is written down again. */
  readonly onMended?: () => void
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

/**
 * ```
 *   new ──note──▶ open ──▶ closed
 *    └─fails─▶ failed ◀──fails──┘ …, and is tried again after a while
 * ```
 */
type JournalState =
  | { readonly name: 'new' | 'closed' }
  | { readonly name: 'open'; readonly fd: number }
  | { readonly name: 'failed'; readonly dueAt: number }

/** After a failure requests are not held up by each try. */
const RETRY_MS = 10_000

function lineOf({ name, period, used, reserved, recorded }: AllowanceEntry): Buffer {
  const line = Buffer.alloc(LINE_BYTES, ' ')
  line.write(`${name} ${period} ${used} ${reserved} ${recorded}`, 'latin1')
  line[LINE_BYTES - 1] = 0x0a
  return line
}

/** A disk that is nearly full takes a part without saying so. */
function write(fd: number, bytes: Buffer, at: number): void {
  const written = writeSync(fd, bytes, 0, bytes.byteLength, at)
  if (written < bytes.byteLength)
    throw Object.assign(new Error('a part was written'), { code: 'ENOSPC' })
}

const LINE = /^([\w-]{1,64}\/credits) (\d{1,16}) (\d{1,16}) (\d{1,16}) (\d{1,16}) *\n$/

/** What a journal says; `null` for a file that is not whole. */
export function parseJournal(text: string): readonly AllowanceEntry[] | null {
  if (text === '') return null
  const entries: AllowanceEntry[] = []
  for (let at = 0; at < text.length; at += LINE_BYTES) {
    const line = text.slice(at, at + LINE_BYTES)
    const match = line.length === LINE_BYTES ? LINE.exec(line) : null
    if (match === null) return null
    const [, name = '', ...numbers] = match
    const [period = NaN, used = NaN, reserved = NaN, recorded = NaN] = numbers.map(Number)
    const isExact = [period, used, reserved, recorded].every(Number.isSafeInteger)
    if (!isCreditsName(name) || !isExact) return null
    entries.push({ name, period, used, reserved, recorded })
  }
  return entries
}

function isCreditsName(name: string): name is AllowanceName {
  return name.endsWith('/credits')
}

import { closeSync, constants, ftruncateSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { AllowanceName } from '../ipc/allowance.ts'
import type { AllowanceEntry } from './allowance-core.ts'
import { makeInnerFolderNow } from '../shared/private-files.ts'

/**
 * Of a line, its end included. A name of 72 characters and five numbers of 16 fit, and no line lies in two pages of memory:
 * a write that a kill interrupts ends between pages.
 */
const LINE_BYTES = 256

/**
 * Where a worker writes down what its requests hold and have used, so that the primary can read it when the worker has
 * died. A line for each allowance, written over in place: the file does not grow with the requests.
 *
 * ```
 *   k_7f3a/credits 29712960 14500000 2000000 14000000 4711␣␣␣␣…⏎     name, period, used, reserved, recorded, version
 * ```
 * What is written is safe from the death of all processes, though not from a power cut. It takes some three microseconds. That
 * a request is over stands in its row (`RowJournal`) at first, and here with the next one, or before the primary hears of the row.
 */
export class AllowanceJournal {
  readonly #path: string
  readonly #options: AllowanceJournalOptions
  #state: JournalState = { name: 'new' }
  /** The newest of each allowance, in the order of their lines. Bounded by the allowances that there are. */
  readonly #entries = new Map<AllowanceName, AllowanceEntry>()
  /** Where each stands. Bounded by the allowances, too. */
  readonly #lines = new Map<AllowanceName, number>()
  /** What is said elsewhere, and not here yet. Bounded by the allowances. */
  readonly #owed = new Set<AllowanceName>()
  /** For what is written next: one for each request would cost as much as writing it. */
  readonly #line = Buffer.alloc(LINE_BYTES)
  /** The file was made here. */
  #isOurs = false

  constructor(path: string, options: AllowanceJournalOptions) {
    this.#path = path
    this.#options = options
  }

  note(entry: AllowanceEntry): void {
    this.#keep(entry)
    this.#owed.delete(entry.name)
    this.#write(entry)
  }

  /** To be written with the next `flush()` at the latest. */
  owe(entry: AllowanceEntry): void {
    this.#keep(entry)
    this.#owed.add(entry.name)
  }

  /** Writes what is owed. */
  flush(): void {
    for (const name of this.#owed) {
      const entry = this.#entries.get(name)
      if (entry !== undefined) this.#write(entry)
    }
    this.#owed.clear()
  }

  #keep(entry: AllowanceEntry): void {
    const { name } = entry
    if (!this.#lines.has(name)) this.#lines.set(name, this.#lines.size)
    this.#entries.set(name, entry)
  }

  #write(entry: AllowanceEntry): void {
    try {
      switch (this.#state.name) {
        case 'new':
          this.#open()
          break
        case 'open':
          fillLine(this.#line, entry)
          write(this.#state.fd, this.#line, (this.#lines.get(entry.name) ?? 0) * LINE_BYTES)
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
    this.flush()
    if (this.#state.name === 'open') closeSync(this.#state.fd)
    this.#state = { name: 'closed' }
  }

  /** Writes down everything that there is. */
  #open(): void {
    makeInnerFolderNow(dirname(this.#path))
    const { O_RDWR, O_NOFOLLOW } = constants
    const fd = openSync(this.#path, this.#isOurs ? O_RDWR | (O_NOFOLLOW ?? 0) : 'wx', 0o600)
    this.#isOurs = true
    try {
      write(fd, linesOf([...this.#entries.values()]), 0)
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

/** The whole text of a journal. */
export function linesOf(entries: readonly AllowanceEntry[]): Buffer {
  const lines = Buffer.alloc(entries.length * LINE_BYTES)
  entries.forEach((entry, at) => fillLine(lines.subarray(at * LINE_BYTES), entry))
  return lines
}

function fillLine(
  line: Buffer,
  { name, period, used, reserved, recorded, version }: AllowanceEntry
): void {
  const text = `${name} ${period} ${used} ${reserved} ${recorded} ${version}`
  line.fill(0x20, line.write(text, 'latin1'), LINE_BYTES - 1)
  line[LINE_BYTES - 1] = 0x0a
}

/** A disk that is nearly full takes a part without saying so. */
function write(fd: number, bytes: Buffer, at: number): void {
  const written = writeSync(fd, bytes, 0, bytes.byteLength, at)
  if (written < bytes.byteLength)
    throw Object.assign(new Error('a part was written'), { code: 'ENOSPC' })
}

const LINE = /^([\w-]{1,64}\/credits) (\d{1,16}) (\d{1,16}) (\d{1,16}) (\d{1,16}) (\d{1,16}) *\n$/

/** What a journal says; `null` for a file that is not whole. */
export function parseJournal(text: string): readonly AllowanceEntry[] | null {
  if (text === '') return null
  const entries: AllowanceEntry[] = []
  for (let at = 0; at < text.length; at += LINE_BYTES) {
    const line = text.slice(at, at + LINE_BYTES)
    const match = line.length === LINE_BYTES ? LINE.exec(line) : null
    if (match === null) return null
    const [, name = '', ...numbers] = match
    const [period = NaN, used = NaN, reserved = NaN, recorded = NaN, version = NaN] =
      numbers.map(Number)
    const isExact = [period, used, reserved, recorded, version].every(Number.isSafeInteger)
    if (!isCreditsName(name) || !isExact) return null
    entries.push({ name, period, used, reserved, recorded, version })
  }
  return entries
}

function isCreditsName(name: string): name is AllowanceName {
  return name.endsWith('/credits')
}

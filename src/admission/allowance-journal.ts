import { closeSync, ftruncateSync, mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { AllowanceName } from '../ipc/allowance.ts'
import type { AllowanceEntry } from './allowance-core.ts'

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
  readonly #onFailure: (cause: unknown) => void
  #state: { readonly fd: number } | 'new' | 'failed' | 'closed' = 'new'
  /** Bounded by the allowances that there are. */
  readonly #lines = new Map<AllowanceName, number>()
  readonly #line = Buffer.alloc(LINE_BYTES)

  /** `onFailure` is called once; nothing is written from then on, and the file is left empty. */
  constructor(path: string, onFailure: (cause: unknown) => void) {
    this.#path = path
    this.#onFailure = onFailure
  }

  note({ name, period, used, reserved, recorded }: AllowanceEntry): void {
    if (this.#state === 'failed' || this.#state === 'closed') return
    const line = this.#lines.get(name) ?? this.#lines.size
    this.#lines.set(name, line)
    this.#line.fill(' ')
    this.#line.write(`${name} ${period} ${used} ${reserved} ${recorded}`, 'latin1')
    this.#line[LINE_BYTES - 1] = 0x0a
    try {
      writeSync(this.#open(), this.#line, 0, LINE_BYTES, line * LINE_BYTES)
    } catch (cause) {
      this.#fail(cause)
    }
  }

  /** The file stays for the primary. */
  close(): void {
    if (typeof this.#state === 'object') closeSync(this.#state.fd)
    this.#state = 'closed'
  }

  #open(): number {
    if (typeof this.#state === 'object') return this.#state.fd
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 })
    const fd = openSync(this.#path, 'wx', 0o600)
    this.#state = { fd }
    return fd
  }

  /** What would be out of date must not be believed. */
  #fail(cause: unknown): void {
    const before = this.#state
    this.#state = 'failed'
    if (typeof before === 'object') {
      try {
        ftruncateSync(before.fd)
        closeSync(before.fd)
      } catch {
        // The disk is gone, and the file with it.
      }
    }
    this.#onFailure(cause)
  }
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

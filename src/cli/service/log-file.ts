import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  renameSync,
  statSync,
  writeSync
} from 'node:fs'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { setInterval } from 'node:timers/promises'
import { parseJsonObject, textMember } from '../../shared/json.ts'
import { UsageError } from '../command.ts'
import type { LineReader, LogQuery } from './init-system.ts'

/** In the home of the user. */
export const LOG_FILE = 'Library/Logs/kiro-gateway/gateway.log'
/** Two files at most: this one and the one before. */
const MAX_FILE_BYTES = 10 * 1024 * 1024
const LOOK_MS = 500
const LAST_LINES = 100

/** Keeps a log in two files of bounded size, since launchd has none of its own. */
export class LogFile implements Disposable {
  readonly #path: string
  readonly #maxBytes: number
  #fd: number
  #bytes: number

  constructor(file: string, maxBytes = MAX_FILE_BYTES) {
    this.#path = file
    this.#maxBytes = maxBytes
    mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 })
    this.#fd = openSync(file, 'a', 0o600)
    this.#bytes = fstatSync(this.#fd).size
  }

  /** Never throws: while the disk is full, the log has gaps and the gateway goes on. */
  write(chunk: Uint8Array): void {
    try {
      if (this.#bytes > 0 && this.#bytes + chunk.byteLength > this.#maxBytes) this.#begin()
      this.#bytes += writeSync(this.#fd, chunk)
    } catch {
      // There is no other place to say so.
    }
  }

  #begin(): void {
    if (existsSync(this.#path)) renameSync(this.#path, `${this.#path}.1`)
    const next = openSync(this.#path, 'a', 0o600)
    closeSync(this.#fd)
    this.#fd = next
    this.#bytes = 0
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd)
  }
}

export async function lastLinesOf(file: string, count: number): Promise<readonly string[]> {
  return (await linesOf(file)).slice(-count)
}

/** Reads both files and, if asked, what is written later. */
export async function followLogFile(
  file: string,
  { follows, since }: LogQuery,
  { onLine, signal }: Pick<LineReader, 'onLine' | 'signal'>
): Promise<void> {
  const from = since === null ? null : ageOf(since)
  let { text: seen, ino } = await wholeLinesOf(file)
  const lines = [...(await linesOf(`${file}.1`)), ...linesIn(seen)]
  const shown =
    from === null ? lines.slice(-LAST_LINES) : lines.filter((line) => isAfter(line, from))
  for (const line of shown) onLine(line)
  if (!follows) return
  for await (const _ of setInterval(LOOK_MS, undefined, { signal })) {
    const now = await wholeLinesOf(file)
    const start = now.ino === ino ? seen.byteLength : 0
    for (const line of linesIn(now.text.subarray(start))) onLine(line)
    seen = now.text
    ino = now.ino
  }
}

/** `ino` tells a new file from the one before. */
async function wholeLinesOf(
  file: string
): Promise<{ readonly text: Buffer; readonly ino: number }> {
  const ino = statSync(file, { throwIfNoEntry: false })?.ino ?? 0
  const text = await readFile(file).catch(() => Buffer.alloc(0))
  return { text: text.subarray(0, text.lastIndexOf(NEWLINE) + 1), ino }
}

const NEWLINE = 0x0a

/** Reads `10m`, or a date. @throws {UsageError} */
function ageOf(since: string): number {
  const [, number, unit = ''] = /^(\d+)([smhd])$/.exec(since) ?? []
  const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit]
  if (unitMs !== undefined) return Date.now() - Number(number) * unitMs
  const at = Date.parse(since)
  if (Number.isFinite(at)) return at
  throw new UsageError('--since takes an age such as 10m or 2h, or a date')
}

function isAfter(line: string, from: number): boolean {
  const at = Date.parse(textMember(parseJsonObject(line) ?? {}, 'time') ?? '')
  return Number.isFinite(at) && at >= from
}

async function linesOf(file: string): Promise<readonly string[]> {
  return linesIn(await readFile(file).catch(() => Buffer.alloc(0)))
}

function linesIn(text: Buffer): readonly string[] {
  return text
    .toString()
    .split('\n')
    .filter((line) => line !== '')
}

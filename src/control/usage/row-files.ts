import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  unlinkSync
} from 'node:fs'
import { basename, dirname } from 'node:path'
import {
  ROWS_PER_FILE,
  type RowCredits,
  type UsageRow,
  type WrittenRow
} from '../../ipc/usage-row.ts'
import { asJsonObject, type JsonObject, parseJsonObject, textMember } from '../../shared/json.ts'
import { openPrivateFile } from '../../shared/private-files.ts'
import type { ProcessMark } from '../../shared/process-mark.ts'

/**
 * Files in which workers write their rows down (`RowJournal`), as the primary finds them. They are whatever lies in that folder
 * by the time somebody looks: what is no plain file, too large, or no row of that file counts as nothing.
 */

/** Rows have a few hundred bytes each. */
const MAX_FILE_BYTES = 4_194_304
/** Two processes, whose place may have a long name. */
const MAX_MARKS_BYTES = 4_096

/** The numbers of a worker's files that are there, in their order. `path` is the beginning of theirs. */
export function rowFilesOf(path: string): readonly number[] {
  return numbersOf(basename(path), namesIn(dirname(path)))
}

/** The same of names that are known. */
export function numbersOf(start: string, names: readonly string[]): readonly number[] {
  return names
    .filter((name) => name.startsWith(`${start}-`))
    .map((name) => Number(name.slice(start.length + 1)))
    .filter(Number.isSafeInteger)
    .toSorted((a, b) => a - b)
}

/** What a file says, in its order. Half a line is where the worker died, or its disk was full. */
export function readRows(path: string, number: number): readonly WrittenRow[] {
  const rows: WrittenRow[] = []
  let next = number * ROWS_PER_FILE
  const end = next + ROWS_PER_FILE
  for (const line of textOf(`${path}-${number}`).split('\n')) {
    const written = toWritten(line)
    if (written === null || written.seq < next || written.seq >= end) continue
    rows.push(written)
    next = written.seq + 1
  }
  return rows
}

/** How many requests a worker had begun by the end of its newest file; 0 where it does not say. */
export function begunIn(path: string): number {
  const last = rowFilesOf(path).at(-1)
  if (last === undefined) return 0
  const begun = textOf(`${path}-${last}`).matchAll(/^\{"begun":(\d{1,15})\}$/gm)
  return Number([...begun].at(-1)?.[1] ?? 0)
}

export function removeRows(path: string, number: number): void {
  try {
    unlinkSync(`${path}-${number}`)
  } catch {
    // It was never made, or stays, which does no harm: the record knows what it has of it.
  }
}

/** Who has written a file: its first line. None where it does not say. Never rejects. */
export async function readMarks(path: string): Promise<readonly ProcessMark[]> {
  const marks = parseJsonObject(await firstLineOf(path))?.['processes']
  if (!Array.isArray(marks)) return []
  return marks.map((entry: unknown) => {
    const mark = asJsonObject(entry) ?? {}
    const place = textMember(mark, 'place') ?? ''
    return { place, pid: Number(mark['pid']), start: textMember(mark, 'start') }
  })
}

async function firstLineOf(path: string): Promise<string> {
  try {
    await using file = await openPrivateFile(path)
    const { buffer, bytesRead } = await file.read({ buffer: Buffer.alloc(MAX_MARKS_BYTES) })
    const text = buffer.toString('utf8', 0, bytesRead)
    return text.slice(0, text.indexOf('\n'))
  } catch {
    return ''
  }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // nothing was ever written
  }
}

/** Neither waits for a pipe nor follows a link. */
function textOf(path: string): string {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let fd: number | null = null
  try {
    fd = openSync(path, O_RDONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0)) // Windows has neither
    const facts = fstatSync(fd)
    return facts.isFile() && facts.size <= MAX_FILE_BYTES ? readFileSync(fd, 'utf8') : ''
  } catch {
    return ''
  } finally {
    if (fd !== null) closeSync(fd)
  }
}

const TEXTS = [
  'key',
  'client',
  'dialect',
  'model',
  'code'
] as const satisfies readonly (keyof UsageRow)[]
const NUMBERS = [
  'at',
  'status',
  'inputTokens',
  'outputTokens',
  'cachedTokens',
  'credits',
  'totalMs',
  'repairs'
] as const satisfies readonly (keyof UsageRow)[]

/** What SQLite would not take must not get to it: all rows that are written together would wait for that one. */
function toWritten(line: string): WrittenRow | null {
  const written = parseJsonObject(line)
  const row = asJsonObject(written?.['row'])
  if (written === null || row === null || !Number.isSafeInteger(written['seq'])) return null
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- all members are checked
  return isRow(row) && isCredits(written['credits']) ? (written as unknown as WrittenRow) : null
}

function isRow(row: JsonObject): boolean {
  const { firstMs } = row
  return (
    TEXTS.every((name) => typeof row[name] === 'string') &&
    NUMBERS.every((name) => Number.isFinite(row[name])) &&
    (firstMs === null || Number.isFinite(firstMs)) &&
    isTurn(row['turn'])
  )
}

function isTurn(turn: unknown): boolean {
  if (turn === undefined) return true
  const { requestId, route, phaseMs, attempts, chunks } = asJsonObject(turn) ?? {}
  return (
    typeof requestId === 'string' &&
    typeof route === 'string' &&
    Object.values(asJsonObject(phaseMs) ?? { phaseMs }).every(Number.isFinite) &&
    Number.isFinite(attempts) &&
    Number.isFinite(chunks)
  )
}

function isCredits(credits: unknown): boolean {
  if (credits === undefined) return true
  const members = asJsonObject(credits) ?? {}
  return AMOUNTS.every((name) => Number.isSafeInteger(members[name]))
}

const AMOUNTS = [
  'period',
  'used',
  'reserved',
  'recorded',
  'version'
] as const satisfies readonly (keyof RowCredits)[]

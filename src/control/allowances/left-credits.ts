import { closeSync, constants, fstatSync, futimesSync, openSync, writeSync } from 'node:fs'
import type { AllowanceEntry } from '../../admission/allowance-core.ts'
import { linesOf } from '../../admission/allowance-journal.ts'
import type { AllowanceName } from '../../ipc/allowance.ts'
import type { WrittenRow } from '../../ipc/usage-row.ts'
import { readRows } from '../usage/row-files.ts'

export interface LeftFiles {
  /** What its journal says. */
  readonly entries: readonly AllowanceEntry[]
  /** Of that journal. */
  readonly path: string
  /** The beginning of the paths of its rows. */
  readonly rowsPath: string
  /** The number of the last file of them; `null` for none. */
  readonly lastRows: number | null
}

/**
 * Where a worker that is gone was with credits: what its journal says, or its last rows, whichever is newer.
 *
 * The journal says it afterwards, too, since files of rows go when the record has them: what they said of credits would go
 * with them. Where that cannot be written, those who read again find the same in the rows as long as they are there.
 */
export function readLeft({
  entries,
  path,
  rowsPath,
  lastRows
}: LeftFiles): readonly AllowanceEntry[] {
  if (lastRows === null || entries.length === 0) return entries
  const newest = newestOf(entries, readRows(rowsPath, lastRows))
  if (newest.some((entry, at) => entry !== entries[at])) overwrite(path, newest)
  return newest
}

/** In the order of the entries. Rows of a key that has none say nothing: its journal was written before its first request. */
export function newestOf(
  entries: readonly AllowanceEntry[],
  rows: readonly WrittenRow[]
): readonly AllowanceEntry[] {
  const newest = new Map(entries.map((entry) => [entry.name, entry]))
  for (const { row, credits } of rows) {
    const name: AllowanceName = `${row.key}/credits`
    const before = newest.get(name)
    if (credits === undefined || before === undefined || credits.version <= before.version) continue
    newest.set(name, { name, ...credits })
  }
  return [...newest.values()]
}

/** Each line is the old or the new one, also after a kill. Its age stays, by which it is told whether its run is over. */
function overwrite(path: string, entries: readonly AllowanceEntry[]): void {
  const { O_WRONLY, O_NOFOLLOW, O_NONBLOCK } = constants
  let fd: number | null = null
  try {
    fd = openSync(path, O_WRONLY | (O_NOFOLLOW ?? 0) | (O_NONBLOCK ?? 0)) // Windows has neither
    const { atime, mtime } = fstatSync(fd)
    writeSync(fd, linesOf(entries), 0, undefined, 0)
    futimesSync(fd, atime, mtime)
  } catch {
    // See above.
  } finally {
    if (fd !== null) closeSync(fd)
  }
}

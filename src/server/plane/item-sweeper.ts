import { lstat, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'

export interface SweepLimits {
  /** Of all files together; the oldest go first. */
  readonly maxBytes: number
  readonly maxAgeMs: number
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** What a file takes on a disk at least. */
const BLOCK_BYTES = 4096
/** A draft that is older was left by a worker that died. */
const MAX_DRAFT_AGE_MS = 60_000
/** Hexadecimal digits of a file's name. */
export const NAME_DIGITS = 40
const FILE_NAME = /^(?:[0-9a-f]{40}|(?<draft>\.[0-9a-f]{40}\.[0-9a-f-]{36}\.tmp))$/
/** What earlier versions kept, which has no owner and is not found any more. */
const OLD_NAME = /^[0-9a-f]{28}(?:\.draft)?$/

interface FoundFile {
  readonly name: string
  readonly isDraft: boolean
  readonly isOwnerless: boolean
  readonly bytes: number
  readonly ageMs: number
}

/**
 * Deletes what is too old, and the oldest of what is too much. Any number of workers may do this at once: each deletes
 * by the same rule, and a file that another one has deleted is as good as deleted. Other files are left alone.
 *
 * Rejects with Node's error if the folder cannot be read.
 */
export async function sweepItems(folder: string, limits: SweepLimits): Promise<void> {
  const files = await listFiles(folder, limits.now)
  let bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const doomed = files
    .toSorted((a, b) => b.ageMs - a.ageMs)
    .filter(({ isDraft, isOwnerless, ageMs, bytes: own }) => {
      const isOld = isOwnerless || ageMs > (isDraft ? MAX_DRAFT_AGE_MS : limits.maxAgeMs)
      // A young draft is being written.
      if (!isOld && (isDraft || bytes <= limits.maxBytes)) return false
      bytes -= own
      return true
    })
  await inBatches(doomed, ({ name }) => unlink(join(folder, name)).catch(() => {}))
}

async function listFiles(folder: string, now: number): Promise<readonly FoundFile[]> {
  const names = await readdir(folder)
  const found = await inBatches(names, async (name): Promise<FoundFile | null> => {
    const match = FILE_NAME.exec(name)
    const isOwnerless = OLD_NAME.test(name)
    if (match === null && !isOwnerless) return null
    const facts = await lstat(join(folder, name)).catch(() => null)
    if (facts === null) return null
    return {
      name,
      isDraft: match?.groups?.['draft'] !== undefined,
      isOwnerless,
      bytes: Math.max(facts.size, BLOCK_BYTES),
      ageMs: now - facts.mtimeMs
    }
  })
  return found.filter((file) => file !== null)
}

/** Files that are open at once; more would only wait in line for the few threads that read them. */
const BATCH = 16

/** Runs `task` for each value, a few at a time, and gives the results in order. */
export async function inBatches<T, R>(
  values: readonly T[],
  task: (value: T) => Promise<R>
): Promise<R[]> {
  const results: R[] = []
  for (let from = 0; from < values.length; from += BATCH) {
    results.push(...(await Promise.all(values.slice(from, from + BATCH).map(task))))
  }
  return results
}

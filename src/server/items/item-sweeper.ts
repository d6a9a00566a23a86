import { lstat, readdir, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { ITEM_NAME_DIGITS, ownerPartOf } from '../../shared/item-name.ts'
import { OwnerSums } from '../../shared/owner-sums.ts'

export interface SweepLimits {
  /** All files together. Owners have even shares, plus what others leave. */
  readonly maxBytes: number
  readonly maxAgeMs: number
  /** Epoch ms. */
  readonly now: number
}

const BLOCK_BYTES = 4096
/** An older draft was left by a dead worker. */
const MAX_DRAFT_AGE_MS = 60_000
const ITEM_NAME = `[0-9a-f]{${ITEM_NAME_DIGITS}}`
const FILE_NAME = new RegExp(
  `^(?:(?<own>${ITEM_NAME})|\\.(?<draft>${ITEM_NAME})\\.[0-9a-f-]{36}\\.tmp)$`
)
/** Files of earlier versions, without an owner. */
const OLD_NAME = /^[0-9a-f]{28}(?:\.draft)?$/

interface FoundFile {
  readonly name: string
  readonly owner: string
  readonly isDraft: boolean
  readonly isOwnerless: boolean
  readonly bytes: number
  readonly ageMs: number
}

/**
 * Deletes old files, and surplus ones of the owners with most, who keep at least an even share. Workers may
 * sweep at once, as they follow the same rule. Rejects with Node's error if the folder cannot be read.
 */
export async function sweepItems(folder: string, limits: SweepLimits): Promise<void> {
  const files = await listFiles(folder, limits.now)
  const [old, young] = partition(files, ({ isDraft, isOwnerless, ageMs }) => {
    return isOwnerless || ageMs > (isDraft ? MAX_DRAFT_AGE_MS : limits.maxAgeMs)
  })
  const doomed = [...old, ...surplusOf(young, limits.maxBytes)]
  await inBatches(doomed, ({ name }) => unlink(join(folder, name)).catch(() => {}))
}

/** Drafts count, but are not deleted. */
function surplusOf(files: readonly FoundFile[], maxBytes: number): readonly FoundFile[] {
  const sums = new OwnerSums()
  for (const { owner, bytes } of files) sums.add(owner, bytes)
  const level = sums.levelFor(maxBytes)
  return files
    .toSorted((a, b) => b.ageMs - a.ageMs)
    .filter(({ owner, isDraft, bytes }) => {
      if (isDraft || sums.total <= maxBytes || sums.of(owner) <= level) return false
      sums.add(owner, -bytes)
      return true
    })
}

function partition<T>(
  all: readonly T[],
  isFirst: (one: T) => boolean
): readonly [readonly T[], readonly T[]] {
  return [all.filter(isFirst), all.filter((one) => !isFirst(one))]
}

async function listFiles(folder: string, now: number): Promise<readonly FoundFile[]> {
  const names = await readdir(folder)
  const found = await inBatches(names, async (name): Promise<FoundFile | null> => {
    const match = FILE_NAME.exec(name)
    const isOwnerless = OLD_NAME.test(name)
    if (match === null && !isOwnerless) return null
    const facts = await lstat(join(folder, name)).catch(() => null)
    if (facts === null) return null
    const { own, draft } = match?.groups ?? {}
    return {
      name,
      owner: ownerPartOf(own ?? draft ?? ''),
      isDraft: draft !== undefined,
      isOwnerless,
      bytes: Math.max(facts.size, BLOCK_BYTES),
      ageMs: now - facts.mtimeMs
    }
  })
  return found.filter((file) => file !== null)
}

/** More open files would only queue for the few file threads. */
const BATCH = 16

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

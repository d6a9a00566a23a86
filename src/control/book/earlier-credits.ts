import { readdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Period } from '../../keys/period.ts'
import { codeOf } from '../../shared/errors.ts'
import { asJsonObject, parseJsonObject } from '../../shared/json.ts'
import { readPrivateFile } from '../../shared/private-files.ts'

/*
 * The version before kept used credits in `STATE_DIR/credits`, and not in the account book:
 *
 *   settled-<run>.json      by key: the period, and what was used in it; `taken` names files that it counts already
 *   worker-<run>-<worker>   lines of 256 bytes, "k_1/credits 29712960 1450 20 1400 47": period, used, reserved, …
 *   rows-<run>-<worker>-<n> rows for the record of usage
 */

export interface EarlierCredits {
  readonly key: string
  readonly period: Partial<Period>
  readonly used: number
}

const NAME = /^(?:settled-[0-9a-f]{32}\.json|(?:worker|rows)-[0-9a-f]{32}-[\w-]{1,64})$/
const LINE = /^([\w-]{1,64})\/credits (\d{1,16}) (\d{1,16}) (\d{1,16}) /
const MAX_FILE_BYTES = 4_194_304

/** `null` if nothing is there, or not all of it is readable. */
export async function readEarlier(book: string): Promise<readonly EarlierCredits[] | null> {
  try {
    const names = await namesIn(folderOf(book))
    const taken = new Set<unknown>()
    const found: { readonly name: string; readonly credits: readonly EarlierCredits[] }[] = []
    for (const name of names.filter((one) => !one.startsWith('rows-'))) {
      const text = (await readPrivateFile(join(folderOf(book), name), MAX_FILE_BYTES)).toString()
      if (name.startsWith('worker-')) found.push({ name, credits: inJournal(text) })
      else {
        const saved = parseJsonObject(text)
        const credits = asJsonObject(saved?.['credits'])
        const counted = saved?.['taken']
        if (credits === null || !Array.isArray(counted)) return null
        for (const one of counted) taken.add(one)
        found.push({ name, credits: Object.entries(credits).map(toEarlier) })
      }
    }
    const left = found.filter(({ name }) => !taken.has(name))
    return found.length === 0 ? null : left.flatMap(({ credits }) => credits)
  } catch {
    return null
  }
}

export function usedIn(earlier: readonly EarlierCredits[], key: string, period: Period): number {
  let sum = 0
  for (const one of earlier) {
    const { kind, startsAt, number } = one.period
    const isSame =
      kind === undefined
        ? number === period.number
        : kind === period.kind && startsAt === period.startsAt
    if (one.key === key && isSame) sum += one.used
  }
  return sum
}

/** Removes what the book has taken over. Never rejects. */
export async function removeEarlier(book: string): Promise<void> {
  const folder = folderOf(book)
  for (const name of await namesIn(folder).catch(() => [])) {
    await rm(join(folder, name), { force: true }).catch(() => {}) // it is not read again
  }
}

function folderOf(book: string): string {
  return join(dirname(book), 'credits')
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => NAME.test(name))
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return []
    throw cause
  }
}

function toEarlier([key, entry]: readonly [string, unknown]): EarlierCredits {
  const { period, settled } = asJsonObject(entry) ?? {}
  if (asJsonObject(period) === null || !Number.isSafeInteger(settled)) throw new Error('damaged')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- its members are compared, and no more
  return { key, period: period as Partial<Period>, used: Number(settled) }
}

/** Reads a journal. Credits held when a worker was killed count as used. */
function inJournal(text: string): readonly EarlierCredits[] {
  return text.split('\n').flatMap((line) => {
    const [, key, number, used, reserved] = LINE.exec(line) ?? []
    if (key === undefined) return []
    return [{ key, period: { number: Number(number) }, used: Number(used) + Number(reserved) }]
  })
}

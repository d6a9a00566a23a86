import type { UsageRow } from '../../ipc/usage-row.ts'

/** Refused requests of a key, with one code, that have a row each in a minute. */
const ROWS_A_MINUTE = 100
const MINUTE_MS = 60_000
/** Minutes of keys and codes that are remembered. A minute that is forgotten may have so many rows once more. */
const MAX_PLACES = 10_000
/** Stands for several. */
const OTHER = 'other'

/** The row in which all further refusals of a key, with one code, in a minute are counted. */
export interface SharedRow {
  /** In the table; `null` while there is none. */
  rowid: number | bigint | null
}

interface Place extends SharedRow {
  rows: number
}

/**
 * Decides which refused requests have a row of their own: a client that goes on after it was refused, thousands of times in a
 * minute, must not fill the disk.
 */
export class RefusedRows {
  /** By minute, key and code; the one that was used last comes last. Bounded by MAX_PLACES. */
  readonly #places = new Map<string, Place>()

  /** `null` for a row of its own. */
  sharedRowOf(row: UsageRow): SharedRow | null {
    if (!isRefusal(row)) return null
    const name = `${Math.floor(row.at / MINUTE_MS)} ${row.code} ${row.key}`
    const place = this.#places.get(name) ?? { rows: 0, rowid: null }
    this.#places.delete(name)
    this.#places.set(name, place)
    const [oldest] = this.#places.keys()
    if (this.#places.size > MAX_PLACES && oldest !== undefined) this.#places.delete(oldest)
    place.rows += 1
    return place.rows > ROWS_A_MINUTE ? place : null
  }
}

/** Returns one row with what several requests have in common. */
export function inCommon(rows: readonly [UsageRow, ...UsageRow[]]): UsageRow {
  const [first] = rows
  const common = (member: 'client' | 'dialect' | 'model'): string =>
    rows.every((row) => row[member] === first[member]) ? first[member] : OTHER
  return { ...first, client: common('client'), dialect: common('dialect'), model: common('model') }
}

/** Returns whether a request has failed and used nothing. */
function isRefusal({ code, credits, inputTokens, outputTokens, cachedTokens }: UsageRow): boolean {
  return code !== '' && credits === 0 && inputTokens + outputTokens + cachedTokens === 0
}

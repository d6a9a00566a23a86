import { setNewest } from '../../shared/newest.ts'
import type { BookRow } from './book-messages.ts'

/** Refusals of a key with one code that get rows of their own in a minute. */
const ROWS_A_MINUTE = 100
const MINUTE_MS = 60_000
/** Remembered minutes of keys and codes. A forgotten one may get so many rows again. */
const MAX_PLACES = 10_000
const OTHER = 'other'

export interface SharedRow {
  /** `null` while it is not in the table. */
  rowid: number | bigint | null
}

interface Place extends SharedRow {
  rows: number
}

/** Chooses refused requests that get a row: a client that ignores refusals must not fill the disk. */
export class RefusedRows {
  /** Rows by minute, key and code; last used last. Bounded by MAX_PLACES. */
  readonly #places = new Map<string, Place>()

  /** `null` for a row of its own. */
  sharedRowOf(row: BookRow): SharedRow | null {
    if (!isRefusal(row)) return null
    const name = `${Math.floor(row.at / MINUTE_MS)} ${row.code} ${row.key}`
    const place = this.#places.get(name) ?? { rows: 0, rowid: null }
    setNewest(this.#places, MAX_PLACES, name, place)
    place.rows += 1
    return place.rows > ROWS_A_MINUTE ? place : null
  }
}

export function inCommon(rows: readonly [BookRow, ...BookRow[]]): BookRow {
  const [first] = rows
  const common = (member: 'client' | 'dialect' | 'model'): string =>
    rows.every((row) => row[member] === first[member]) ? first[member] : OTHER
  return { ...first, client: common('client'), dialect: common('dialect'), model: common('model') }
}

function isRefusal({ code, credits, inputTokens, outputTokens, cachedTokens }: BookRow): boolean {
  return code !== '' && credits === 0 && inputTokens + outputTokens + cachedTokens === 0
}

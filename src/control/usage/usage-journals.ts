import { readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import type { AllowanceEntry } from '../../admission/allowance-core.ts'
import { ROWS_PER_FILE, type UsageRow, type WrittenRow } from '../../ipc/usage-row.ts'
import type { Logger } from '../../observe/logger.ts'
import { asJsonObject, parseJsonObject } from '../../shared/json.ts'
import type { UsageRecorder } from './usage-recorder.ts'

export interface UsageJournalsOptions {
  /** The beginning of the paths of a worker's files; its id is the end of that. */
  readonly pathOf: (id: string) => string
  readonly recorder: Pick<UsageRecorder, 'recordWritten' | 'lastOf'>
  /** Called with rows that are new in this life of the gateway. */
  readonly onRows: (rows: readonly UsageRow[]) => void
  /** Everything that a worker has left is in the record, and its files are gone. */
  readonly onDone: (id: string) => void
  readonly log: Pick<Logger, 'warn'>
}

/** What is known of one worker. */
interface Journal {
  /** `seq` of the next row. */
  next: number
  /** The last that the record has. */
  recorded: number
  /** Files before this one are gone. */
  oldestFile: number
  /** Once the worker is gone: of the rows for what died with it, how many there are and have been recorded. */
  lost: { readonly count: number; recorded: number } | null
}

/** A worker's credits as its rows have them, by the id of the key. */
type RecordedCredits = ReadonlyMap<string, NonNullable<WrittenRow['credits']>>

/**
 * How rows of usage come from the workers into the record, each once: by messages, and for a worker that has died from the
 * files in which it wrote them before. The record keeps with the rows which of a worker's it has, so that what was read
 * again after a death of the whole gateway changes nothing; files go when the record has all that they say.
 *
 * ```
 *   worker ──message──▶ waiting ──▶ record: "up to row 4711 of this worker"
 *      └──────file──────────▲ when it has died, or the gateway has    └──▶ files are removed
 * ```
 * What a dead worker's requests had reserved, or used without a row, is one row for each key, and a journal of its own: so
 * the record has what the limit counts.
 */
export class UsageJournals {
  readonly #options: UsageJournalsOptions
  /** By id. Bounded by the workers that run, and those whose rows are not in the record yet. */
  readonly #journals = new Map<string, Journal>()

  constructor(options: UsageJournalsOptions) {
    this.#options = options
  }

  /** A worker tells of rows. They may have been read in its files meanwhile, or some before them may stand only there. */
  hear(id: string, from: number, rows: readonly UsageRow[]): void {
    const known = this.#journals.get(id)
    const journal = known ?? newJournal(0)
    if (known === undefined) this.#journals.set(id, journal)
    if (from > journal.next) this.#take(id, journal, this.#read(id, journal.next, from).rows)
    const told = rows.map((row, at) => ({ seq: from + at, row }))
    this.#take(
      id,
      journal,
      told.filter(({ seq }) => seq >= journal.next)
    )
  }

  /** A worker is gone, and its files say all that it would have told. */
  leave(id: string, entries: readonly AllowanceEntry[]): void {
    const journal = this.#journals.get(id) ?? newJournal(0)
    this.#journals.set(id, journal)
    const { rows } = this.#read(id, journal.next)
    this.#take(id, journal, rows)
    const lost = this.#lostRows(id, entries)
    this.#options.onRows(lost)
    this.#leave(id, journal, lost)
  }

  /** A worker of another run is gone. Never rejects; what is known already is left alone. */
  async recover(id: string, entries: readonly AllowanceEntry[]): Promise<void> {
    if (this.#journals.has(id)) return
    const journal = newJournal(0)
    journal.lost = { count: Infinity, recorded: 0 } // not before it is known
    this.#journals.set(id, journal)
    const last = await this.#options.recorder.lastOf(id)
    journal.next = last + 1
    journal.recorded = last
    const { rows } = this.#read(id, journal.next)
    this.#options.recorder.recordWritten(id, rows)
    journal.next = (rows.at(-1)?.seq ?? last) + 1
    this.#leave(id, journal, this.#lostRows(id, entries))
  }

  /** The record has a worker's rows up to this one. */
  onRecorded(name: string, seq: number): void {
    const id = workerOf(name)
    const isLost = id !== name
    const journal = this.#journals.get(id)
    if (journal === undefined) return
    if (isLost && journal.lost !== null) journal.lost.recorded = seq + 1
    else journal.recorded = Math.max(journal.recorded, seq)
    if (journal.lost !== null) return this.#finish(id, journal)
    const file = Math.floor((journal.recorded + 1) / ROWS_PER_FILE)
    while (journal.oldestFile < file) remove(`${this.#options.pathOf(id)}-${journal.oldestFile++}`)
  }

  #take(id: string, journal: Journal, rows: readonly WrittenRow[]): void {
    const last = rows.at(-1)
    if (last === undefined) return
    journal.next = last.seq + 1
    this.#options.onRows(rows.map(({ row }) => row))
    this.#options.recorder.recordWritten(id, rows)
  }

  #leave(id: string, journal: Journal, lost: readonly UsageRow[]): void {
    journal.lost = { count: lost.length, recorded: 0 }
    const rows = lost.map((row, seq) => ({ seq, row }))
    this.#options.recorder.recordWritten(id + LOST, rows)
    this.#finish(id, journal)
  }

  #finish(id: string, { next, recorded, lost }: Journal): void {
    if (lost === null || recorded < next - 1 || lost.recorded < lost.count) return
    if (!this.#journals.delete(id)) return
    const path = this.#options.pathOf(id)
    for (const number of this.#filesOf(id)) remove(`${path}-${number}`)
    this.#options.onDone(id)
  }

  /** Of each key that has more used or reserved than its rows say. */
  #lostRows(id: string, entries: readonly AllowanceEntry[]): readonly UsageRow[] {
    const { credits } = this.#read(id, 0)
    const rows: UsageRow[] = []
    for (const { name, period, used, reserved, recorded } of entries) {
      const keyId = name.slice(0, name.lastIndexOf('/'))
      const inRows = credits.get(keyId)
      // The worker may have died between its row and the note that there is one.
      const known = inRows?.period === period ? Math.max(recorded, inRows.recorded) : recorded
      const lost = used + reserved - known
      if (lost <= 0) continue
      this.#options.log.warn(
        { keyId, credits: lost },
        'credits of requests that died with their worker'
      )
      rows.push(lostRow(keyId, lost))
    }
    return rows
  }

  /** What the files say from a row on, and up to another. Half a line is where the worker died, or its disk was full. */
  #read(id: string, from: number, to = Infinity) {
    const rows: WrittenRow[] = []
    const credits = new Map<string, NonNullable<WrittenRow['credits']>>()
    for (const number of this.#filesOf(id)) {
      if (number < Math.floor(from / ROWS_PER_FILE)) continue
      for (const line of textOf(`${this.#options.pathOf(id)}-${number}`).split('\n')) {
        const written = toWritten(line)
        if (written === null || written.seq < from || written.seq >= to) continue
        rows.push(written)
        if (written.credits !== undefined) credits.set(written.row.key, written.credits)
      }
    }
    return { rows, credits: credits satisfies RecordedCredits }
  }

  /** The numbers of those that are there, in their order. */
  #filesOf(id: string): readonly number[] {
    const path = this.#options.pathOf(id)
    const start = `${basename(path)}-`
    return namesIn(dirname(path))
      .filter((name) => name.startsWith(start))
      .map((name) => Number(name.slice(start.length)))
      .filter(Number.isSafeInteger)
      .toSorted((a, b) => a - b)
  }
}

/** Behind the id of a worker: the journal of what died with it. */
const LOST = '/lost'

/** The id of the worker whose journal it is. */
export function workerOf(journal: string): string {
  return journal.endsWith(LOST) ? journal.slice(0, -LOST.length) : journal
}

function newJournal(next: number): Journal {
  return { next, recorded: next - 1, oldestFile: 0, lost: null }
}

function namesIn(folder: string): readonly string[] {
  try {
    return readdirSync(folder)
  } catch {
    return [] // nothing was ever written
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

function remove(path: string): void {
  try {
    unlinkSync(path)
  } catch {
    // It was never made, or stays, which does no harm: the record knows what it has of it.
  }
}

function toWritten(line: string): WrittenRow | null {
  const written = parseJsonObject(line)
  const row = asJsonObject(written?.['row'])
  const isRow = row !== null && Number.isSafeInteger(written?.['seq'])
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- a whole line is as our own worker has written it
  return isRow ? (written as unknown as WrittenRow) : null
}

/** For requests that were lost with their worker. */
function lostRow(keyId: string, credits: number): UsageRow {
  return {
    at: Date.now(),
    key: keyId,
    client: 'other',
    dialect: '',
    model: '',
    status: 499,
    code: 'GW_INTERNAL',
    inputTokens: 0,
    outputTokens: 0,
    cachedTokens: 0,
    credits,
    totalMs: 0,
    firstMs: null,
    repairs: 0
  }
}

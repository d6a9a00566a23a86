import type { AllowanceEntry } from '../../admission/allowance-core.ts'
import { ROWS_PER_FILE, type UsageRow, type WrittenRow } from '../../ipc/usage-row.ts'
import type { Logger } from '../../observe/logger.ts'
import { begunIn, readRows, removeRows, rowFilesOf } from './row-files.ts'
import type { UsageRecorder } from './usage-recorder.ts'

export interface UsageJournalsOptions {
  /** The beginning of the paths of a worker's files; its id is the end of that. */
  readonly pathOf: (id: string) => string
  readonly recorder: Pick<UsageRecorder, 'recordWritten' | 'lastOf' | 'whenRoomFor'>
  /** Called with rows that are new in this life of the gateway. */
  readonly onRows: (rows: readonly UsageRow[]) => void
  /** Called with how many requests of a worker began and have no row, since it died. */
  readonly onLost: (requests: number) => void
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
  /** Those that it has, where that is known. */
  files: readonly number[] | null
}

/** Of a worker that is gone. */
export interface LeftJournal {
  readonly id: string
  /** None where there is nothing that can be believed. */
  readonly entries: readonly AllowanceEntry[]
  /** The numbers of its files of rows, in their order. */
  readonly files: readonly number[]
}

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
  /** Those of other runs are read in turn. Never rejects. */
  #recovering = Promise.resolve()

  constructor(options: UsageJournalsOptions) {
    this.#options = options
  }

  /** A worker tells of rows. They may have been read in its files meanwhile, or some before them may stand only there. */
  hear(id: string, from: number, rows: readonly UsageRow[]): void {
    const known = this.#journals.get(id)
    const journal = known ?? newJournal(0)
    if (known === undefined) this.#journals.set(id, journal)
    if (from > journal.next) {
      const between = this.#read(id, Math.floor(journal.next / ROWS_PER_FILE))
      this.#take(
        id,
        journal,
        between.filter(({ seq }) => seq >= journal.next && seq < from)
      )
    }
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
    const rows = this.#read(id)
    this.#take(
      id,
      journal,
      rows.filter(({ seq }) => seq >= journal.next)
    )
    this.#tellLost(begunIn(this.#options.pathOf(id)) - journal.next)
    const lost = this.#lostRows(entries)
    this.#options.onRows(lost)
    this.#leave(id, journal, lost)
  }

  /** A worker of another run is gone. Never rejects; what is known already is left alone. */
  async recover({ id, entries, files }: LeftJournal): Promise<void> {
    if (this.#journals.has(id)) return
    const journal = newJournal(0)
    journal.lost = { count: Infinity, recorded: 0 } // not before it is known
    this.#journals.set(id, journal)
    this.#recovering = this.#recovering.then(() => this.#recover({ id, entries, files }, journal))
    await this.#recovering
  }

  /** A file at a time, when the record has room for it: there may be many, of many workers. */
  async #recover({ id, entries, files }: LeftJournal, journal: Journal): Promise<void> {
    const { recorder, pathOf } = this.#options
    const last = await recorder.lastOf(id)
    journal.next = last + 1
    journal.recorded = last
    journal.files = files
    for (const number of files) {
      await recorder.whenRoomFor(ROWS_PER_FILE)
      const rows = readRows(pathOf(id), number)
      const news = rows.filter(({ seq }) => seq >= journal.next)
      journal.next = (news.at(-1)?.seq ?? journal.next - 1) + 1
      recorder.recordWritten(id, news)
    }
    this.#leave(id, journal, this.#lostRows(entries))
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
    while (journal.oldestFile < file) removeRows(this.#options.pathOf(id), journal.oldestFile++)
  }

  #take(id: string, journal: Journal, rows: readonly WrittenRow[]): void {
    const last = rows.at(-1)
    if (last === undefined) return
    journal.next = last.seq + 1
    this.#options.onRows(rows.map(({ row }) => row))
    this.#options.recorder.recordWritten(
      id,
      rows.map((written) => ({ ...written, row: recordable(written.row) }))
    )
  }

  #tellLost(requests: number): void {
    if (requests <= 0) return
    this.#options.log.warn({ requests }, 'requests that died with their worker')
    this.#options.onLost(requests)
  }

  #leave(id: string, journal: Journal, lost: readonly UsageRow[]): void {
    journal.lost = { count: lost.length, recorded: 0 }
    const rows = lost.map((row, seq) => ({ seq, row }))
    this.#options.recorder.recordWritten(id + LOST, rows)
    this.#finish(id, journal)
  }

  #finish(id: string, { next, recorded, lost, files }: Journal): void {
    if (lost === null || recorded < next - 1 || lost.recorded < lost.count) return
    if (!this.#journals.delete(id)) return
    const path = this.#options.pathOf(id)
    for (const number of files ?? rowFilesOf(path)) removeRows(path, number)
    this.#options.onDone(id)
  }

  /** Of each key that has more used or reserved than its rows say. */
  #lostRows(entries: readonly AllowanceEntry[]): readonly UsageRow[] {
    const rows: UsageRow[] = []
    for (const { name, used, reserved, recorded } of entries) {
      const keyId = name.slice(0, name.lastIndexOf('/'))
      const lost = used + reserved - recorded
      if (lost <= 0) continue
      this.#options.log.warn(
        { keyId, credits: lost },
        'credits of requests that died with their worker'
      )
      rows.push(lostRow(keyId, lost))
    }
    return rows
  }

  /** What the files of a worker say, from one of them on. */
  #read(id: string, from = 0): readonly WrittenRow[] {
    const path = this.#options.pathOf(id)
    const files = rowFilesOf(path).filter((number) => number >= from)
    return files.flatMap((number) => readRows(path, number))
  }
}

/** Without what the record does not have: many may wait for it. */
function recordable(row: UsageRow): UsageRow {
  const { turn, ...recorded } = row
  return turn === undefined ? row : recorded
}

/** Behind the id of a worker: the journal of what died with it. */
const LOST = '/lost'

/** The id of the worker whose journal it is. */
export function workerOf(journal: string): string {
  return journal.endsWith(LOST) ? journal.slice(0, -LOST.length) : journal
}

function newJournal(next: number): Journal {
  return { next, recorded: next - 1, oldestFile: 0, lost: null, files: null }
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

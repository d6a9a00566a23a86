import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { lutimes, readdir, rmdir, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import type { AllowanceEntry } from '../../admission/allowance-core.ts'
import { parseJournal } from '../../admission/allowance-journal.ts'
import type { Logger } from '../../observe/logger.ts'
import { codeOf } from '../../shared/errors.ts'
import { makeInnerFolder, readPrivateFile, replaceFile } from '../../shared/private-files.ts'
import { fateOf } from '../../shared/process-mark.ts'
import { numbersOf, readMarks, rowFilesOf } from '../usage/row-files.ts'
import type { LeftJournal } from '../usage/usage-journals.ts'
import { readLeft } from './left-credits.ts'
import {
  addCredits,
  addEntries,
  type CreditSums,
  formatSaved,
  NOTHING_SAVED,
  parseSaved,
  type Saved
} from './saved-credits.ts'

export interface AllowanceStoreOptions {
  /** `STATE_DIR`. */
  readonly stateDir: string
  readonly log: Pick<Logger, 'warn' | 'error'>
  /** A gateway that has not been heard of for so long is gone. */
  readonly staleMs?: number
}

/** What other runs of the gateway have used. */
export interface Survey {
  /** By those that are gone, for us to keep from now on. */
  readonly inherited: CreditSums
  /** What workers that are gone have left, whether it was inherited before or not. */
  readonly left: readonly LeftJournal[]
  /** Where that stands. */
  readonly files: readonly string[]
  /** By those that may still run. */
  readonly elsewhere: CreditSums
  /** There may be some. */
  readonly hasOthers: boolean
}

const STALE_MS = 120_000

/**
 * What is on disk of the credits of keys. Every run of the gateway has a file of what its workers have used, and each
 * worker a journal. A journal is taken into that file and removed then; so are the files of runs that are gone. The names
 * of those that were taken and not removed yet stand in the file, so that none is counted twice after a death in between.
 *
 * ```
 *   STATE_DIR/credits/settled-<run>.json        by key: period, and what was used in it; touched while the run lasts
 *   STATE_DIR/credits/worker-<run>-<worker>     what a worker's requests hold and have used
 *   STATE_DIR/credits/rows-<run>-<worker>-<n>   its rows for the record of usage, see `UsageJournals`
 * ```
 * A run is over when it says so, when the processes that have left rows are gone, or, where these cannot be seen because they ran
 * in another container, when it was not heard of for two minutes.
 *
 * Two gateways on one folder see what the other has used, some seconds late.
 */
export class AllowanceStore {
  readonly #options: AllowanceStoreOptions
  readonly #folder: string
  readonly #run = randomUUID().replaceAll('-', '')
  /** In the file, or about to be, and not removed yet. Bounded by the workers and runs that have ended since the last save. */
  readonly #taken = new Set<string>()
  /** By id: journals that somebody still reads. Bounded by the workers that have ended since the last save. */
  readonly #held = new Set<string>()
  #saving: Promise<void> | null = null
  #next: (() => CreditSums) | null = null
  /** Those whose names are in the file. Bounded by those that are taken. */
  #saved: ReadonlySet<string> = new Set()
  #hasFile = false
  #isClosed = false
  #hasFailed = false

  constructor(options: AllowanceStoreOptions) {
    this.#options = options
    this.#folder = join(options.stateDir, 'credits')
  }

  /** Where a worker keeps its journal; no other worker may have the name. */
  journalPath(worker: string): string {
    return join(this.#folder, `worker-${this.journalId(worker)}`)
  }

  /** What a worker's files are called by; no worker of any run has the same. */
  journalId(worker: string): string {
    return `${this.#run}-${worker}`
  }

  /** Where a worker writes its rows: the beginning of the path. */
  rowsPath(id: string): string {
    return join(this.#folder, `rows-${id}`)
  }

  /** A journal stays, although what it says of limits was taken, until it is released. */
  hold(id: string): void {
    this.#held.add(id)
  }

  release(id: string): void {
    this.#held.delete(id)
    if (this.#saved.has(`worker-${id}`)) void this.#remove(`worker-${id}`) // never rejects
  }

  /** The ids of all workers, of any run, that have left something here. */
  idsThere(): ReadonlySet<string> {
    try {
      return new Set(readdirSync(this.#folder).map(idOf))
    } catch {
      return new Set() // nobody has
    }
  }

  /** What a worker that is gone has written down; `null` where nothing of it can be believed. */
  takeJournal(worker: string): readonly AllowanceEntry[] | null {
    const id = this.journalId(worker)
    const path = this.journalPath(worker)
    this.#taken.add(`worker-${id}`)
    try {
      const entries = parseJournal(readFileSync(path, 'latin1'))
      if (entries === null) return null
      const rowsPath = this.rowsPath(id)
      return readLeft({ entries, path, rowsPath, lastRows: rowFilesOf(rowsPath).at(-1) ?? null })
    } catch (err) {
      if (codeOf(err) !== 'ENOENT') this.#options.log.warn({ err }, DAMAGED_JOURNAL)
      return null
    }
  }

  /** Looks at what other runs have left or leave. Never rejects. Its outcome must be heeded before the next one. */
  async survey(): Promise<Survey> {
    const ours = [...this.#taken] // before a look at what is there: they are being removed
    const runs = await this.#otherRuns()
    const taken = new Set([...ours, ...runs.flatMap(({ saved }) => [...saved.taken])])
    const inherited: CreditSums = new Map()
    const elsewhere: CreditSums = new Map()
    const files: string[] = []
    const left: LeftJournal[] = []
    for (const run of runs) {
      const names = [run.fileName, ...run.journals].filter((name) => !ours.includes(name))
      const sums = run.isOver ? inherited : elsewhere
      for (const name of names) {
        if (run.isOver) files.push(name) // also one that a run has taken that is over: who would know of it then?
        if (taken.has(name)) continue
        if (name === run.fileName) {
          for (const [keyId, credits] of run.saved.credits) addCredits(sums, keyId, credits)
          continue
        }
        addEntries(sums, await this.#readJournal(name, run))
      }
      const ids = run.isOver ? [...run.ids].slice(0, MAX_LEFT - left.length) : []
      for (const id of ids) {
        const entries = await this.#readJournal(`worker-${id}`, run)
        left.push({ id, entries, files: run.rows.get(id) ?? [] })
      }
    }
    if (this.#hasFile) await this.#touch()
    const hasOthers = runs.some(({ isOver }) => !isOver)
    return { inherited, elsewhere, files, left, hasOthers }
  }

  /** What these files say is in what will be saved next; then they are removed. */
  inherit(files: readonly string[]): void {
    for (const name of files) this.#taken.add(name)
  }

  /** Writes what `credits` gives then; several calls in a row write once. */
  save(credits: () => CreditSums): void {
    this.#next = credits
    this.#saving ??= this.#saveAll()
  }

  /** Saves for the last time: the next run need not wait to see whether this one is gone. Resolves when it is on disk, or cannot be. */
  async close(credits: () => CreditSums): Promise<void> {
    this.#isClosed = true
    if (this.#hasFile || this.#saving !== null) this.save(credits)
    await this.#saving
    await rmdir(this.#folder).catch(() => {}) // unless something is in it
  }

  async #saveAll(): Promise<void> {
    for (let next = this.#next; next !== null; next = this.#next) {
      this.#next = null
      const taken = [...this.#taken]
      const text = formatSaved({ credits: next(), taken: new Set(taken), isOver: this.#isClosed })
      try {
        await makeInnerFolder(this.#folder)
        await replaceFile(this.#ownPath, { text, mode: 0o600, isDurable: true })
        this.#hasFile = true
        this.#hasFailed = false
      } catch (err) {
        if (!this.#hasFailed) this.#options.log.warn({ err }, 'used credits cannot be saved')
        this.#hasFailed = true
        continue // the journals stay: they say what could not be saved
      }
      this.#saved = new Set(taken)
      for (const name of taken) await this.#remove(name)
    }
    this.#saving = null
  }

  async #remove(name: string): Promise<void> {
    if (this.#held.has(name.replace(/^worker-/, ''))) return
    try {
      await unlink(join(this.#folder, name))
    } catch (cause) {
      if (codeOf(cause) !== 'ENOENT') return // it stays among those that are taken
    }
    this.#taken.delete(name)
  }

  async #otherRuns(): Promise<readonly Run[]> {
    const names = await readdir(this.#folder).catch(() => [])
    const byRun = Map.groupBy(names, (name) => NAME.exec(name)?.[1] ?? '')
    const runs: Run[] = []
    for (const [run, files] of byRun) {
      if (run === '' || run === this.#run) continue
      const fileName = fileNameOf(run)
      const journals = files.filter((name) => name.startsWith('worker-'))
      const rows = files.filter((name) => name.startsWith('rows-'))
      const ids = new Set([...journals, ...rows].map((name) => idOf(name)))
      const hasFile = files.includes(fileName)
      const saved = hasFile ? await this.#readSaved(fileName) : NOTHING_SAVED
      // Without a file of its own a run has only just begun, or has died then.
      const age = await this.#ageOf(hasFile ? [fileName] : files.slice(0, MAX_LOOKED_AT))
      const isStale = age > (this.#options.staleMs ?? STALE_MS)
      const fate = await this.#fateOf(rows)
      const isOver = saved.isOver || fate === 'gone' || (fate === 'unknown' && isStale)
      const byId = numbersById(isOver ? rows : [])
      runs.push({ fileName, journals, ids, rows: byId, saved, isOver })
    }
    return runs
  }

  /** Whether those who have written rows still run, as far as that can be seen from here. */
  async #fateOf(rows: readonly string[]): Promise<'gone' | 'running' | 'unknown'> {
    const isSeen = rows.length > 0 && rows.length <= MAX_LOOKED_AT
    let fate: 'gone' | 'unknown' = isSeen ? 'gone' : 'unknown'
    for (const name of rows.slice(0, MAX_LOOKED_AT)) {
      const marks = await readMarks(join(this.#folder, name))
      const fates = marks.map(fateOf)
      if (fates.includes('running')) return 'running'
      if (marks.length === 0 || fates.includes('unknown')) fate = 'unknown'
    }
    return fate
  }

  async #readSaved(name: string): Promise<Saved> {
    try {
      return parseSaved(
        (await readPrivateFile(join(this.#folder, name), MAX_FILE_BYTES)).toString()
      )
    } catch (err) {
      if (codeOf(err) !== 'ENOENT') {
        this.#options.log.error({ err, name }, 'used credits cannot be read: they do not count')
      }
      return { ...NOTHING_SAVED, isOver: codeOf(err) !== 'ENOENT' }
    }
  }

  /** Of a run that may go on what its journals say is enough: nobody but its workers writes there, and soon. */
  async #readJournal(name: string, { isOver, rows }: Run): Promise<readonly AllowanceEntry[]> {
    const path = join(this.#folder, name)
    try {
      const entries = parseJournal((await readPrivateFile(path, MAX_FILE_BYTES)).toString('latin1'))
      if (entries !== null && !isOver) return entries
      const id = idOf(name)
      const lastRows = rows.get(id)?.at(-1) ?? null
      if (entries !== null)
        return readLeft({ entries, path, rowsPath: this.rowsPath(id), lastRows })
      this.#options.log.warn({ name }, DAMAGED_JOURNAL)
    } catch (err) {
      // Its run may just have taken it.
      if (codeOf(err) !== 'ENOENT') this.#options.log.warn({ err, name }, DAMAGED_JOURNAL)
    }
    return []
  }

  async #ageOf(names: readonly string[]): Promise<number> {
    let newest = 0
    for (const name of names) {
      const facts = await stat(join(this.#folder, name)).catch(() => null)
      newest = Math.max(newest, facts?.mtimeMs ?? 0)
    }
    return Date.now() - newest
  }

  async #touch(): Promise<void> {
    const now = new Date()
    await lutimes(this.#ownPath, now, now).catch(() => {}) // the next save tells why
  }

  get #ownPath(): string {
    return join(this.#folder, fileNameOf(this.#run))
  }
}

/** Workers whose rows one look finds; those of more are found by later ones. */
const MAX_LEFT = 1_000
/** Files of a run, to see whether it is over: more than the workers of one leave. */
const MAX_LOOKED_AT = 2_000
/** Far more than thousands of keys need. */
const MAX_FILE_BYTES = 4_194_304

const DAMAGED_JOURNAL = 'journal of a worker is damaged: what it says does not count'

/** The files of a run, by its id. */
const NAME = /^(?:settled|worker|rows)-([0-9a-f]{32})(?:\.json|-[\w-]{1,64})$/
const ID = /^(?:worker-(.*)|rows-(.*)-\d+)$/

interface Run {
  readonly fileName: string
  readonly journals: readonly string[]
  /** Of its workers. */
  readonly ids: ReadonlySet<string>
  /** By id: the numbers of their files of rows. None of a run that may go on. */
  readonly rows: ReadonlyMap<string, readonly number[]>
  readonly saved: Saved
  /** It is gone. */
  readonly isOver: boolean
}

function fileNameOf(run: string): string {
  return `settled-${run}.json`
}

/** The numbers of files of rows, in their order. */
function numbersById(rows: readonly string[]): ReadonlyMap<string, readonly number[]> {
  const byId = Map.groupBy(rows, idOf)
  return new Map([...byId].map(([id, names]) => [id, numbersOf(`rows-${id}`, names)]))
}

function idOf(name: string): string {
  const [, ofJournal, ofRows] = ID.exec(name) ?? []
  return ofJournal ?? ofRows ?? ''
}

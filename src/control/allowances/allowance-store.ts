import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { readdir, readFile, stat, unlink, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { AllowanceEntry } from '../../admission/allowance-core.ts'
import { parseJournal } from '../../admission/allowance-journal.ts'
import type { AllowanceName } from '../../ipc/allowance.ts'
import type { Logger } from '../../observe/logger.ts'
import { codeOf } from '../../shared/errors.ts'
import { makePrivateFolder, replaceFile } from '../../shared/private-files.ts'
import {
  addCredits,
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
  /** What requests held when they died with their whole gateway: there is no other record of it. */
  readonly reserved: readonly ReservedCredits[]
  /** Where that stands. */
  readonly files: readonly string[]
  /** By those that may still run. */
  readonly elsewhere: CreditSums
}

/** Micro-credits. */
interface ReservedCredits {
  readonly keyId: string
  readonly amount: number
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
 * ```
 * Two gateways on one folder see what the other has used, some seconds late.
 */
export class AllowanceStore {
  readonly #options: AllowanceStoreOptions
  readonly #folder: string
  readonly #run = randomUUID().replaceAll('-', '')
  /** In the file, or about to be, and not removed yet. Bounded by the workers and runs that have ended since the last save. */
  readonly #taken = new Set<string>()
  #saving: Promise<void> | null = null
  #next: (() => CreditSums) | null = null
  #hasFile = false
  #isClosed = false
  #hasFailed = false

  constructor(options: AllowanceStoreOptions) {
    this.#options = options
    this.#folder = join(options.stateDir, 'credits')
  }

  /** Where a worker keeps its journal; no other worker may have the name. */
  journalPath(worker: string): string {
    return join(this.#folder, this.#journalName(worker))
  }

  /** What a worker that is gone has written down; `null` where nothing of it can be believed. */
  takeJournal(worker: string): readonly AllowanceEntry[] | null {
    const name = this.#journalName(worker)
    this.#taken.add(name)
    try {
      return parseJournal(readFileSync(join(this.#folder, name), 'latin1'))
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
    const reserved: ReservedCredits[] = []
    for (const run of runs) {
      const names = [run.fileName, ...run.journals].filter((name) => !taken.has(name))
      const sums = run.isOver ? inherited : elsewhere
      for (const name of names) {
        if (run.isOver) files.push(name)
        if (name === run.fileName) {
          for (const [keyId, credits] of run.saved.credits) addCredits(sums, keyId, credits)
          continue
        }
        const entries = await this.#readJournal(name)
        addEntries(sums, entries)
        if (run.isOver) reserved.push(...entries.map(toReserved).filter(({ amount }) => amount > 0))
      }
    }
    if (this.#hasFile) await this.#touch()
    return { inherited, elsewhere, files, reserved }
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
  }

  async #saveAll(): Promise<void> {
    for (let next = this.#next; next !== null; next = this.#next) {
      this.#next = null
      const taken = [...this.#taken]
      const text = formatSaved({ credits: next(), taken: new Set(taken), isOver: this.#isClosed })
      try {
        await makePrivateFolder(this.#folder)
        await replaceFile(this.#ownPath, { text, mode: 0o600, isDurable: true })
        this.#hasFile = true
        this.#hasFailed = false
      } catch (err) {
        if (!this.#hasFailed) this.#options.log.warn({ err }, 'used credits cannot be saved')
        this.#hasFailed = true
        continue // the journals stay: they say what could not be saved
      }
      for (const name of taken) await this.#remove(name)
    }
    this.#saving = null
  }

  async #remove(name: string): Promise<void> {
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
      const journals = files.filter((name) => name !== fileName)
      const hasFile = files.includes(fileName)
      const saved = hasFile ? await this.#readSaved(fileName) : NOTHING_SAVED
      // Without a file of its own a run has only just begun, or has died then.
      const age = await this.#ageOf(hasFile ? [fileName] : journals)
      const isOver = saved.isOver || age > (this.#options.staleMs ?? STALE_MS)
      runs.push({ fileName, journals, saved, isOver })
    }
    return runs
  }

  async #readSaved(name: string): Promise<Saved> {
    try {
      return parseSaved(await readFile(join(this.#folder, name), 'utf8'))
    } catch (err) {
      if (codeOf(err) !== 'ENOENT') {
        this.#options.log.error({ err, name }, 'used credits cannot be read: they do not count')
      }
      return { ...NOTHING_SAVED, isOver: codeOf(err) !== 'ENOENT' }
    }
  }

  async #readJournal(name: string): Promise<readonly AllowanceEntry[]> {
    const text = await readFile(join(this.#folder, name), 'latin1').catch(() => null)
    if (text === null) return [] // its run has just taken it
    const entries = parseJournal(text)
    if (entries === null) this.#options.log.warn({ name }, DAMAGED_JOURNAL)
    return entries ?? []
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
    await utimes(this.#ownPath, now, now).catch(() => {}) // the next save tells why
  }

  #journalName(worker: string): string {
    return `worker-${this.#run}-${worker}`
  }

  get #ownPath(): string {
    return join(this.#folder, fileNameOf(this.#run))
  }
}

const DAMAGED_JOURNAL = 'journal of a worker is damaged: what it says does not count'

/** The files of a run, by its id. */
const NAME = /^(?:settled|worker)-([0-9a-f]{32})(?:\.json|-[\w-]{1,64})$/

interface Run {
  readonly fileName: string
  readonly journals: readonly string[]
  readonly saved: Saved
  /** It is gone. */
  readonly isOver: boolean
}

function fileNameOf(run: string): string {
  return `settled-${run}.json`
}

function toReserved({ name, reserved }: AllowanceEntry): ReservedCredits {
  return { keyId: keyIdOf(name), amount: reserved }
}

function keyIdOf(name: AllowanceName): string {
  return name.slice(0, name.lastIndexOf('/'))
}

function addEntries(sums: CreditSums, entries: readonly AllowanceEntry[]): void {
  for (const { name, period, used, reserved } of entries) {
    if (period === 0) continue // it had not begun to use any
    addCredits(sums, keyIdOf(name), {
      period: { number: period },
      settled: used + reserved
    })
  }
}

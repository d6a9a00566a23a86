import { access } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { UsageRow, UsageSums, WrittenRow } from '../../ipc/usage-row.ts'
import type { NamedKey } from '../../keys/key.ts'
import type { Logger } from '../../observe/logger.ts'
import { DAY_MS, type PlacedRow, UsageDatabase } from './usage-database.ts'

export interface UsageRecorderOptions {
  /** `STATE_DIR`. */
  readonly stateDir: string
  readonly settings: () => { readonly isKept: boolean; readonly retentionDays: number }
  readonly log: Pick<Logger, 'info' | 'warn'>
  /** Called with the last row of a journal that is in the record now. */
  readonly onRecorded?: (journal: string, seq: number) => void
  /** Looks which journals there are. */
  readonly isJournal?: () => (journal: string) => boolean
  /** Epoch ms. */
  readonly now?: () => number
  readonly writeMs?: number
  readonly retryMs?: number
  readonly busyMs?: number
}

/** Where usage is recorded. `stateDir` is `STATE_DIR`. */
export function usagePath(stateDir: string): string {
  return resolve(join(stateDir, 'usage.db'))
}

/** Requests of so long are written together. */
const WRITE_MS = 500
/** After a failure; what is recorded meanwhile waits, as far as there is room. */
const RETRY_MS = 30_000
/** Another gateway on the same folder writes, as while one takes the place of another; longer is worth a warning. */
const BUSY_MS = 10_000
/** Written in one go: a millisecond or two. */
const BATCH_ROWS = 250
/** A kilobyte each at most. Of more the newest are lost. */
const MAX_WAITING_ROWS = 5_000
/** They are written at once. */
const MANY_WAITING_ROWS = 1_000
/** About 2 MB of the database's log. */
const CHECKPOINT_ROWS = 5_000
const CHECKPOINT_MS = 60_000
/** Clients and models that one day may have: who counts by what clients say needs a bound. */
const MAX_CLIENTS = 100
const MAX_MODELS = 200
const OTHER = 'other'

/**
 * Keeps who used how much in `usage.db`. Nothing of it holds up a request, and no failure of it reaches one: what cannot be
 * written is lost, and the log says so once.
 *
 * ```
 *   unused ──the first rows──▶ opening ──▶ writing ◀──▶ failed, tried again after a while
 * ```
 */
export class UsageRecorder {
  readonly #options: UsageRecorderOptions
  readonly #now: () => number
  /** Bounded by MAX_WAITING_ROWS. */
  #waiting: PlacedRow[] = []
  #lost = 0
  #database: UsageDatabase | null = null
  #opening: Promise<UsageDatabase> | null = null
  /** Of the one before; never rejects. */
  #closing = Promise.resolve()
  /** Names that the file does not have yet, by id. Bounded by the keys that there are. */
  #names = new Map<string, string>()
  /** What the file has. Bounded by the keys that there are. */
  #known = new Map<string, string>()
  #timer: NodeJS.Timeout | null = null
  #writing: Promise<void> | null = null
  #hasFailed = false
  /** `performance.now()`; `null` while nobody else writes. */
  #busySince: number | null = null
  #isClosed = false
  #unchecked = 0
  #checkedAt = 0
  /** Clients and models of today. Bounded by MAX_CLIENTS and MAX_MODELS. */
  readonly #today = { day: 0, clients: new Set<string>(), models: new Set<string>() }

  constructor(options: UsageRecorderOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
  }

  /** The keys that there are: reports show their names. */
  setKeys(keys: readonly Pick<NamedKey, 'id' | 'name'>[]): void {
    this.#known = new Map([...this.#known].filter(([id]) => keys.some((key) => key.id === id)))
    const unknown = keys.filter(({ id, name }) => this.#known.get(id) !== name)
    this.#names = new Map(unknown.map(({ id, name }) => [id, name]))
  }

  record(rows: readonly UsageRow[]): void {
    this.#add(rows.map((row) => ({ journal: null, seq: 0, row })))
  }

  /** Rows that a worker has written down, which go into the record once, however often they come. */
  recordWritten(journal: string, rows: readonly WrittenRow[]): void {
    const last = rows.at(-1)
    if (last === undefined) return
    if (this.#options.settings().isKept)
      this.#add(rows.map(({ seq, row }) => ({ journal, seq, row })))
    else this.#options.onRecorded?.(journal, last.seq)
  }

  /** The last row of a journal that is in the record; -1 where there is none, or no record that can be read. Never rejects. */
  async lastOf(journal: string): Promise<number> {
    const database = await this.#openThere()
    try {
      return database?.lastOf(journal) ?? -1
    } catch {
      return -1
    }
  }

  /** Resolves when so many rows would leave half of the room to those that come meanwhile, after a turn for others. Never rejects. */
  async whenRoomFor(rows: number): Promise<void> {
    await new Promise((resume) => setImmediate(resume))
    while (!this.#isClosed && this.#waiting.length + rows > MAX_WAITING_ROWS / 2) {
      await delay(this.#options.writeMs ?? WRITE_MS, undefined, { ref: false })
    }
  }

  #add(rows: readonly PlacedRow[]): void {
    if (!this.#options.settings().isKept || this.#isClosed) return
    for (const placed of rows) {
      if (this.#waiting.length < MAX_WAITING_ROWS)
        this.#waiting.push({ ...placed, row: this.#within(placed.row) })
      else this.#lost++
    }
    if (this.#waiting.length >= MANY_WAITING_ROWS && !this.#hasFailed) this.#writeSoon()
    else this.#wake(this.#options.writeMs ?? WRITE_MS)
  }

  /** What is recorded from that day on, by key, as far as it is written. `null` where nothing can be read. Never rejects. */
  async sums(since: number): Promise<ReadonlyMap<string, UsageSums> | null> {
    const database = await this.#openThere()
    if (database === null) return null
    try {
      return await database.sums(since, this.#now())
    } catch {
      return null // the next attempt to write says why
    }
  }

  /** `null` where there is none yet, or none that can be opened. Never rejects. */
  async #openThere(): Promise<UsageDatabase | null> {
    const path = usagePath(this.#options.stateDir)
    const isThere =
      this.#database !== null ||
      (await access(path).then(
        () => true,
        () => false
      ))
    if (!isThere || this.#isClosed) return null
    return this.#open().catch(() => null)
  }

  /** Writes what there is. Never rejects. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#isClosed = true
    await this.#writing
    if (!this.#hasFailed) await this.#writeAll()
    await this.#opening?.catch(() => {}) // somebody wanted to read
    this.#letGo((err) => this.#onFailed(err))
    await this.#closing
  }

  #wake(delayMs: number): void {
    if (this.#timer !== null || this.#writing !== null || this.#isClosed) return
    this.#timer = setTimeout(() => this.#writeSoon(), delayMs)
    this.#timer.unref()
  }

  #writeSoon(): void {
    if (this.#writing !== null) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    this.#writing = this.#writeAll().finally(() => {
      this.#writing = null
      const { retryMs = RETRY_MS, writeMs = WRITE_MS } = this.#options
      if (this.#waiting.length > 0) this.#wake(this.#hasFailed ? retryMs : writeMs)
    })
  }

  /** Never rejects. */
  async #writeAll(): Promise<void> {
    try {
      if (this.#waiting.length === 0) return
      await this.#leaveRemoved()
      const database = await this.#open()
      while (this.#waiting.length > 0) {
        this.#writeBatch(database)
        await new Promise((resume) => setImmediate(resume)) // others have their turn
      }
      this.#prune(database)
      await this.#checkpoint(database)
      this.#onWritten()
    } catch (err) {
      this.#onFailed(err)
    }
  }

  /** A file that was removed or replaced would be written as before, and nobody could read that. */
  async #leaveRemoved(): Promise<void> {
    if (this.#database === null || (await this.#database.isInPlace())) return
    this.#letGo()
    this.#names = new Map([...this.#known, ...this.#names])
  }

  /** Of what is of no use any more it does not matter how it ends. */
  #letGo(onFailed: (cause: unknown) => void = () => {}): void {
    const database = this.#database
    this.#database = null
    if (database !== null)
      this.#closing = this.#closing.then(() => database.close()).catch(onFailed)
  }

  /** Once, for all who want it at the same time. */
  #open(): Promise<UsageDatabase> {
    if (this.#database !== null) return Promise.resolve(this.#database)
    this.#opening ??= this.#openAnew().finally(() => {
      this.#opening = null
    })
    return this.#opening
  }

  async #openAnew(): Promise<UsageDatabase> {
    await this.#closing
    const database = await UsageDatabase.open(usagePath(this.#options.stateDir))
    this.#database = database
    return database
  }

  #writeBatch(database: UsageDatabase): void {
    const rows = this.#waiting.slice(0, BATCH_ROWS)
    const names = this.#names
    database.write(rows, names)
    this.#waiting.splice(0, rows.length)
    this.#unchecked += rows.length
    for (const [id, name] of names) this.#known.set(id, name)
    this.#names = new Map()
    const recorded = new Map<string, number>()
    for (const { journal, seq } of rows) if (journal !== null) recorded.set(journal, seq)
    for (const [journal, seq] of recorded) this.#options.onRecorded?.(journal, seq)
  }

  #prune(database: UsageDatabase): void {
    const { retentionDays } = this.#options.settings()
    this.#unchecked += database.prune(this.#now() - retentionDays * DAY_MS, BATCH_ROWS)
  }

  async #checkpoint(database: UsageDatabase): Promise<void> {
    const now = this.#now()
    const isDue =
      this.#unchecked >= CHECKPOINT_ROWS || Math.abs(now - this.#checkedAt) >= CHECKPOINT_MS
    if (!isDue || this.#unchecked === 0) return
    const { isJournal } = this.#options
    if (isJournal !== undefined) database.keepJournals(isJournal())
    await database.checkpoint()
    this.#unchecked = 0
    this.#checkedAt = now
  }

  #onWritten(): void {
    if (this.#hasFailed) this.#options.log.info({ lost: this.#lost }, 'usage is recorded again')
    else if (this.#lost > 0) this.#options.log.warn({ lost: this.#lost }, 'usage came too fast')
    this.#hasFailed = false
    this.#busySince = null
    this.#lost = 0
  }

  /** Opened again with the next attempt: the file may have been replaced. */
  #onFailed(cause: unknown): void {
    if (isBusy(cause) && !this.#hasFailed) {
      this.#busySince ??= performance.now()
      if (performance.now() - this.#busySince < (this.#options.busyMs ?? BUSY_MS)) return
    }
    const path = usagePath(this.#options.stateDir)
    const message = 'usage cannot be recorded: a full disk, or a file that is damaged or in use'
    if (!this.#hasFailed) this.#options.log.warn({ path, err: cause }, message)
    this.#hasFailed = true
    this.#letGo()
  }

  /** The row, with a client and a model of which there are not too many today. */
  #within(row: UsageRow): UsageRow {
    const today = this.#today
    const day = Math.floor(row.at / DAY_MS)
    if (today.day !== day) {
      today.day = day
      today.clients.clear()
      today.models.clear()
    }
    const client = countedName(today.clients, row.client, MAX_CLIENTS)
    const model = countedName(today.models, row.model, MAX_MODELS)
    return client === row.client && model === row.model ? row : { ...row, client, model }
  }
}

/** Of SQLite's result codes: `SQLITE_BUSY`, whatever the reason. */
function isBusy(cause: unknown): boolean {
  const code = cause instanceof Error && 'errcode' in cause ? Number(cause.errcode) : 0
  return code % 256 === 5
}

/** Without a list of models clients choose their names: nothing that a terminal could obey. */
const RECORDED_NAME = /^[\x21-\x7e]{0,128}$/

function countedName(names: Set<string>, name: string, max: number): string {
  if (names.has(name)) return name
  if (names.size >= max || !RECORDED_NAME.test(name)) return OTHER
  names.add(name)
  return name
}

import type { BigIntStats } from 'node:fs'
import { type FileHandle, lstat, open, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { DatabaseSync, StatementSync } from 'node:sqlite'
import type { UsageRow, UsageSums } from '../../ipc/usage-row.ts'
import { codeOf } from '../../shared/errors.ts'
import { createPrivateFile, makeFolder, refuseLink } from '../../shared/private-files.ts'
import { inCommon, RefusedRows, type SharedRow } from './refused-rows.ts'

/** Of the tables below. In version 1 `requests` had no column `times`. */
export const USAGE_SCHEMA = 2

/*
 * A row for each request, for as long as USAGE_RETENTION_DAYS says, and sums of each day for ever. Refused requests of a key
 * beyond the first hundred of a minute have one row together, which counts them as `times`. `day` counts days since
 * the epoch, in UTC. Credits are micro-credits. `journals` has the last row of each journal of a worker that is in `requests`:
 * both change in one transaction, so that no row is there twice.
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS requests (
    at INTEGER NOT NULL, key TEXT NOT NULL, client TEXT NOT NULL, dialect TEXT NOT NULL, model TEXT NOT NULL,
    status INTEGER NOT NULL, code TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cached INTEGER NOT NULL,
    credits INTEGER NOT NULL, total_ms INTEGER NOT NULL, first_ms INTEGER, repairs INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1
  );
  CREATE INDEX IF NOT EXISTS requests_at ON requests (at);
  CREATE TABLE IF NOT EXISTS days (
    day INTEGER NOT NULL, key TEXT NOT NULL, client TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, failed INTEGER NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
    cached INTEGER NOT NULL, credits INTEGER NOT NULL,
    PRIMARY KEY (day, key, client, model)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS journals (id TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
  PRAGMA user_version = ${USAGE_SCHEMA};`

const UPGRADE = `
  ALTER TABLE requests ADD COLUMN times INTEGER NOT NULL DEFAULT 1;
  PRAGMA user_version = ${USAGE_SCHEMA};`

const COLUMNS =
  'at, key, client, dialect, model, status, code, input, output, cached, credits, total_ms, first_ms, repairs'
const VALUES = '(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)'
/** So many rows in one statement take a quarter less time than in as many; more gain nothing. */
const MANY = 8
const INSERT = `INSERT INTO requests (${COLUMNS}) VALUES ${VALUES}`
const INSERT_MANY = INSERT + `, ${VALUES}`.repeat(MANY - 1)
const COUNT_ON = `UPDATE requests SET times = times + ?, client = iif(client = ?, client, 'other'),
    dialect = iif(dialect = ?, dialect, 'other'), model = iif(model = ?, model, 'other')
  WHERE rowid = ? AND key = ? AND code = ?`
/** An upstream that meters what cannot be must not make the sum of a day unreadable: no JavaScript number is larger and exact. */
const ADD = `INSERT INTO days VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
  ON CONFLICT (day, key, client, model) DO UPDATE SET
    requests = requests + excluded.requests, failed = failed + excluded.failed,
    input = ${sumUpTo('input')}, output = ${sumUpTo('output')},
    cached = ${sumUpTo('cached')}, credits = ${sumUpTo('credits')}`
const NAME = 'INSERT INTO keys VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name'
const LAST = 'SELECT seq FROM journals WHERE id = ?'
const MARK = 'INSERT INTO journals VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq'
const FORGET = 'DELETE FROM journals WHERE id = ?'
const PRUNE =
  'DELETE FROM requests WHERE rowid IN (SELECT rowid FROM requests WHERE at < ? ORDER BY at LIMIT ?)'

/** `total` gives a number of any size, where `sum` would fail; it is exact as long as JavaScript's are. */
export const SUM_COLUMNS =
  'total(requests) AS requests, total(failed) AS failed, total(input) AS input, total(output) AS output, total(cached) AS cached, total(credits) AS credits'
const SUMS = `SELECT key, ${SUM_COLUMNS} FROM days WHERE day = ? GROUP BY key`

export const DAY_MS = 86_400_000

/**
 * `usage.db`, as the primary writes it: the only writer, so that it never waits for another.
 *
 * SQLite itself never waits for the disk here (`synchronous = OFF`), since that would stop the event loop. What it relies
 * on is done around it, on other threads: the log is on disk before a checkpoint copies it into the database, and that is on
 * disk before the log is written anew. A power cut costs the newest rows, and never the file.
 *
 * `usage.db-shm` is memory that SQLite shares with readers such as the `usage` command. One that a run before has left, or
 * somebody has put there, is made anew when nobody has the file open. What remains: whoever cuts it short while a gateway runs
 * ends the gateway (SIGBUS). Without shared memory (`locking_mode = EXCLUSIVE`) nobody else could read meanwhile.
 */
export class UsageDatabase {
  readonly #path: string
  /**
   * The same file, to have it written to the disk. Open as long as SQLite has it: closing any descriptor of a file takes all
   * locks that the process has on it, and without them the next program to close the file takes the log of writes away.
   * (sqlite.org/howtocorrupt.html tells of it.)
   */
  readonly #file: FileHandle
  readonly #db: DatabaseSync
  readonly #insert: StatementSync
  readonly #insertMany: StatementSync
  readonly #countOn: StatementSync
  readonly #add: StatementSync
  readonly #name: StatementSync
  readonly #prune: StatementSync
  readonly #sums: StatementSync
  readonly #last: StatementSync
  readonly #mark: StatementSync
  readonly #forget: StatementSync
  readonly #refused = new RefusedRows()
  /** Of the file that is open. */
  readonly #identity: string | null
  #checkpoint: Promise<void> | null = null

  private constructor(path: string, { db, file, identity }: OpenFile) {
    this.#path = path
    this.#file = file
    this.#identity = identity
    this.#db = db
    this.#insert = db.prepare(INSERT)
    this.#insertMany = db.prepare(INSERT_MANY)
    this.#countOn = db.prepare(COUNT_ON)
    this.#add = db.prepare(ADD)
    this.#name = db.prepare(NAME)
    this.#prune = db.prepare(PRUNE)
    this.#sums = db.prepare(SUMS)
    this.#last = db.prepare(LAST)
    this.#mark = db.prepare(MARK)
    this.#forget = db.prepare(FORGET)
  }

  /**
   * Makes it where it is missing, readable by its owner alone. No other of the same file may be open in this process. Rejects
   * with the error of SQLite or the file system.
   */
  static async open(path: string): Promise<UsageDatabase> {
    const { DatabaseSync } = await import('node:sqlite')
    await makeFolder(dirname(path))
    await createPrivateFile(path, '').catch((cause: unknown) => {
      if (codeOf(cause) !== 'EEXIST') throw cause
    })
    refuseLink(path, await lstat(path)) // SQLite would follow it
    const file = await open(path, 'r+')
    let db: DatabaseSync | null = null
    try {
      const identity = identityIn(await file.stat({ bigint: true }))
      db = new DatabaseSync(path, { timeout: 0 })
      const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version'])
      if (version > USAGE_SCHEMA) throw new Error(`it is of a newer version (${version})`)
      db.exec('PRAGMA journal_mode = WAL')
      db.exec('PRAGMA synchronous = OFF; PRAGMA wal_autocheckpoint = 0; PRAGMA cache_size = -512')
      const changes = version === 1 ? UPGRADE : TABLES
      if (version < USAGE_SCHEMA) db.exec(`BEGIN IMMEDIATE; ${changes} COMMIT;`)
      return new UsageDatabase(path, { db, file, identity })
    } catch (error) {
      db?.close()
      await file.close()
      throw error
    }
  }

  /** A checkpoint is under way: nothing may be written. */
  get isBusy(): boolean {
    return this.#checkpoint !== null
  }

  /** Whether the file that is open is still the one of that name. */
  async isInPlace(): Promise<boolean> {
    return (await identityOf(this.#path)) === this.#identity
  }

  /** All of them that are not there yet, or none. Those of one journal must be in order. @throws the error of SQLite */
  write(all: readonly PlacedRow[], names: ReadonlyMap<string, string>): void {
    this.#inTransaction(() => {
      const marks = new Map<string, number>()
      const rows: UsageRow[] = []
      for (const { journal, seq, row } of all) {
        if (journal !== null) {
          if (seq <= (marks.get(journal) ?? this.lastOf(journal))) continue
          marks.set(journal, seq)
        }
        rows.push(row)
      }
      this.#insertAll(rows)
      for (const [id, seq] of marks) this.#mark.run(id, seq)
      for (const [day, key, client, model, sums] of sumsOfDays(rows)) {
        this.#add.run(day, key, client, model, ...Object.values(sums))
      }
      for (const [id, name] of names) this.#name.run(id, name)
    })
  }

  #insertAll(all: readonly UsageRow[]): void {
    const rows: UsageRow[] = []
    const shared = new Map<SharedRow, [UsageRow, ...UsageRow[]]>()
    for (const row of all) {
      const place = this.#refused.sharedRowOf(row)
      const others = place === null ? null : shared.get(place)
      if (place === null) rows.push(row)
      else if (others === undefined) shared.set(place, [row])
      else others?.push(row)
    }
    for (let at = 0; at < rows.length; at += MANY) {
      const some = rows.slice(at, at + MANY)
      if (some.length === MANY) this.#insertMany.run(...some.flatMap(valuesOf))
      else for (const row of some) this.#insert.run(...valuesOf(row))
    }
    for (const [place, some] of shared) this.#count(place, some)
  }

  /** Counts refused requests in the row that they share, which may have to be made. */
  #count(place: SharedRow, some: readonly [UsageRow, ...UsageRow[]]): void {
    const row = inCommon(some)
    const { client, dialect, model, key, code } = row
    const countOn = (times: number): boolean =>
      place.rowid !== null &&
      this.#countOn.run(times, client, dialect, model, place.rowid, key, code).changes > 0
    if (countOn(some.length)) return
    place.rowid = this.#insert.run(...valuesOf(row)).lastInsertRowid
    countOn(some.length - 1)
  }

  /** The last row of a journal that is there; -1 where there is none. */
  lastOf(journal: string): number {
    return Number(this.#last.get(journal)?.['seq'] ?? -1)
  }

  /** Forgets those that are no more. */
  keepJournals(isThere: (journal: string) => boolean): void {
    const known = this.#db.prepare('SELECT id FROM journals').all()
    for (const { id } of known) if (!isThere(String(id))) this.#forget.run(id ?? null)
  }

  /** Deletes some of the rows from before then; how many they were. Sums of days stay. */
  prune(before: number, limit: number): number {
    return Number(this.#prune.run(before, limit).changes)
  }

  /** Of all days from `since` to `until`, by key. Day by day, so that others have their turn in between. */
  async sums(since: number, until: number): Promise<ReadonlyMap<string, UsageSums>> {
    const sums = new Map<string, UsageSums>()
    for (let day = Math.floor(since / DAY_MS); day <= Math.floor(until / DAY_MS); day++) {
      for (const row of this.#sums.all(day)) {
        const key = String(row['key'])
        sums.set(key, addSums(sums.get(key) ?? NOTHING_USED, toSums(row)))
      }
      await new Promise((resume) => setImmediate(resume))
    }
    return sums
  }

  /** Copies what was written into the database itself. Until it resolves nothing may be written. */
  checkpoint(): Promise<void> {
    this.#checkpoint ??= this.#doCheckpoint().finally(() => {
      this.#checkpoint = null
    })
    return this.#checkpoint
  }

  async #doCheckpoint(): Promise<void> {
    await syncLog(`${this.#path}-wal`)
    this.#db.exec('PRAGMA wal_checkpoint(PASSIVE)')
    await this.#file.datasync()
  }

  /** Everything is on disk then, and SQLite's files beside it are gone, unless another program has it open. */
  async close(): Promise<void> {
    try {
      await this.#checkpoint
      this.#db.exec('PRAGMA synchronous = NORMAL')
    } finally {
      this.#db.close()
      await this.#file.close()
    }
  }

  #inTransaction(write: () => void): void {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      write()
      this.#db.exec('COMMIT')
    } catch (error) {
      if (this.#db.isTransaction) this.#db.exec('ROLLBACK')
      throw error
    }
  }
}

/** A row, and where a worker has written it down; `null` for one that nobody has. */
export interface PlacedRow {
  readonly journal: string | null
  readonly seq: number
  readonly row: UsageRow
}

interface OpenFile {
  readonly db: DatabaseSync
  readonly file: FileHandle
  readonly identity: string
}

/** Sums as a query has them, with the names of the columns. */
export function toSums(row: Readonly<Record<string, unknown>>): UsageSums {
  return {
    requests: Number(row['requests']),
    failed: Number(row['failed']),
    inputTokens: Number(row['input']),
    outputTokens: Number(row['output']),
    cachedTokens: Number(row['cached']),
    credits: Number(row['credits'])
  }
}

function sumUpTo(column: string): string {
  return `min(${column} + excluded.${column}, ${Number.MAX_SAFE_INTEGER})`
}

function valuesOf(row: UsageRow) {
  const { at, key, client, dialect, model, status, code, credits, firstMs, repairs } = row
  return [
    at,
    key,
    client,
    dialect,
    model,
    status,
    code,
    row.inputTokens,
    row.outputTokens,
    row.cachedTokens,
    credits,
    row.totalMs,
    firstMs,
    repairs
  ] as const
}

type RowSums = { -readonly [Name in keyof UsageSums]: UsageSums[Name] }
type DaySums = readonly [day: number, key: string, client: string, model: string, sums: RowSums]

function sumsOfDays(rows: readonly UsageRow[]): Iterable<DaySums> {
  const days = new Map<string, DaySums>()
  for (const row of rows) {
    const { key, client, model } = row
    const day = Math.floor(row.at / DAY_MS)
    const place = `${day} ${client.length} ${client} ${model.length} ${model} ${key}`
    const one = days.get(place) ?? [day, key, client, model, { ...NOTHING_USED }]
    days.set(place, one)
    addRow(one[4], row)
  }
  return days.values()
}

export const NOTHING_USED: UsageSums = {
  requests: 0,
  failed: 0,
  inputTokens: 0,
  outputTokens: 0,
  cachedTokens: 0,
  credits: 0
}

export function addSums(sums: UsageSums, more: UsageSums): UsageSums {
  return {
    requests: sums.requests + more.requests,
    failed: sums.failed + more.failed,
    inputTokens: sums.inputTokens + more.inputTokens,
    outputTokens: sums.outputTokens + more.outputTokens,
    cachedTokens: sums.cachedTokens + more.cachedTokens,
    credits: sums.credits + more.credits
  }
}

function addRow(sums: RowSums, row: UsageRow): void {
  sums.requests += 1
  sums.failed += row.code === '' ? 0 : 1
  sums.inputTokens += row.inputTokens
  sums.outputTokens += row.outputTokens
  sums.cachedTokens += row.cachedTokens
  sums.credits += row.credits
}

/** `null` where there is no file. */
async function identityOf(path: string): Promise<string | null> {
  try {
    return identityIn(await stat(path, { bigint: true }))
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw cause
  }
}

function identityIn({ dev, ino }: BigIntStats): string {
  return `${dev} ${ino}`
}

/** Waits until the disk has it; one that is not there is there as well as it can be. SQLite keeps no locks on it. */
async function syncLog(path: string): Promise<void> {
  try {
    await using file = await open(path, 'r+')
    await file.datasync()
  } catch (cause) {
    if (codeOf(cause) !== 'ENOENT') throw cause
  }
}

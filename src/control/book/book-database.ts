import type { BigIntStats } from 'node:fs'
import { link, lstat, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { crc32 } from 'node:zlib'
import type { UsageSums } from '../../ipc/usage-row.ts'
import type { Period } from '../../keys/period.ts'
import type { PriceLesson, PriceLessons } from '../../keys/prices.ts'
import { codeOf, messageOf } from '../../shared/errors.ts'
import { FileLock, type HeldLock, LOCK_PATIENCE_MS } from '../../shared/file-lock.ts'
import { isJsonObject, parseJson } from '../../shared/json.ts'
import {
  createPrivateFile,
  draftOf,
  makeFolder,
  refuseLink,
  removeDrafts,
  replaceFile,
  syncFolder
} from '../../shared/private-files.ts'
import { fateOf, type ProcessMark } from '../../shared/process-mark.ts'
import {
  type BookRow,
  type BookAnswer,
  type BookBatch,
  type BookLosses,
  type BookOpening,
  type BookRun,
  LOCKED,
  type LostCredits,
  type PageAsk,
  type PageNews
} from './book-messages.ts'
import { inCommon, RefusedRows, type SharedRow } from './refused-rows.ts'
import { type EarlierCredits, readEarlier, removeEarlier, usedIn } from './earlier-credits.ts'
import {
  dayOf,
  MAX_DAYS,
  nextPlan,
  parsePlan,
  type PlanLook,
  type PlanStory
} from '../plan/plan-record.ts'
import {
  heldIn,
  type PageLease,
  leaseIn,
  nextPage,
  openPage,
  type Page,
  type PageEvent,
  wishedIn
} from './page.ts'
import {
  BOOK_DAYS,
  DAY_MS,
  type DaySums,
  lostRow,
  SUM_COLUMNS,
  sumsOfDays,
  toSums,
  USAGE_SCHEMA
} from './usage-sums.ts'

/*
 * `requests` has rows for USAGE_RETENTION_DAYS, `days` the sums of each day (since the epoch, UTC) for
 * ever. Beyond a hundred a minute, refused requests of a key share a row that counts them as `times`.
 * Credits are micro-credits. `pages` (page.ts) are JSON with a checksum: a damaged number must not pass for
 * a limit. `runs` are the gateways that use this file, with what was written off as `lost` during their
 * silence; `plans` are Kiro's figures of the accounts (plan-record.ts).
 */
const TABLES = `
  CREATE TABLE IF NOT EXISTS requests (
    at INTEGER NOT NULL, key TEXT NOT NULL, client TEXT NOT NULL, dialect TEXT NOT NULL, model TEXT NOT NULL,
    status INTEGER NOT NULL, code TEXT NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL, cached INTEGER NOT NULL,
    credits INTEGER NOT NULL, total_ms INTEGER NOT NULL, first_ms INTEGER, repairs INTEGER NOT NULL,
    times INTEGER NOT NULL DEFAULT 1, metering TEXT NOT NULL DEFAULT '',
    id TEXT NOT NULL DEFAULT '', facts TEXT NOT NULL DEFAULT ''
  );
  DROP INDEX IF EXISTS requests_at;
  CREATE INDEX IF NOT EXISTS requests_at_id ON requests (at, id);
  CREATE TABLE IF NOT EXISTS days (
    day INTEGER NOT NULL, key TEXT NOT NULL, client TEXT NOT NULL, model TEXT NOT NULL,
    requests INTEGER NOT NULL, failed INTEGER NOT NULL, input INTEGER NOT NULL, output INTEGER NOT NULL,
    cached INTEGER NOT NULL, credits INTEGER NOT NULL,
    PRIMARY KEY (day, key, client, model)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS keys (id TEXT PRIMARY KEY, name TEXT NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS pages (key TEXT PRIMARY KEY, page TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, mark TEXT NOT NULL, seen_at INTEGER NOT NULL, seq INTEGER NOT NULL, lost TEXT) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS prices (
    model TEXT NOT NULL, size INTEGER NOT NULL, lessons TEXT NOT NULL, PRIMARY KEY (model, size)
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS plans (account TEXT PRIMARY KEY, record TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS audit (
    n INTEGER PRIMARY KEY, at INTEGER NOT NULL, who TEXT NOT NULL, via TEXT NOT NULL, address TEXT NOT NULL,
    action TEXT NOT NULL, subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL
  );
  DROP TABLE IF EXISTS journals;
  PRAGMA user_version = ${USAGE_SCHEMA};`

const ADD_TIMES = 'ALTER TABLE requests ADD COLUMN times INTEGER NOT NULL DEFAULT 1;'
const ADD_METERING = `ALTER TABLE requests ADD COLUMN metering TEXT NOT NULL DEFAULT '';`
const ADD_LOST = 'ALTER TABLE runs ADD COLUMN lost TEXT;'
const ADD_FACTS = `ALTER TABLE requests ADD COLUMN id TEXT NOT NULL DEFAULT '';
  ALTER TABLE requests ADD COLUMN facts TEXT NOT NULL DEFAULT '';`

/** The largest exact number: what an upstream meters must not make a sum unreadable. */
function sumUpTo(column: string): string {
  return `min(${column} + excluded.${column}, ${Number.MAX_SAFE_INTEGER})`
}

const SQL = {
  insert: `INSERT INTO requests (at, key, client, dialect, model, status, code, input, output, cached, credits, total_ms, first_ms, repairs, metering, id, facts)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
  countOn: `UPDATE requests SET times = times + ?, client = iif(client = ?, client, 'other'),
      dialect = iif(dialect = ?, dialect, 'other'), model = iif(model = ?, model, 'other')
    WHERE rowid = ? AND key = ? AND code = ?`,
  addDay: `INSERT INTO days VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    ON CONFLICT (day, key, client, model) DO UPDATE SET
      requests = requests + excluded.requests, failed = failed + excluded.failed,
      input = ${sumUpTo('input')}, output = ${sumUpTo('output')},
      cached = ${sumUpTo('cached')}, credits = ${sumUpTo('credits')}`,
  name: 'INSERT INTO keys VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET name = excluded.name',
  prune:
    'DELETE FROM requests WHERE rowid IN (SELECT rowid FROM requests WHERE at < ? ORDER BY at LIMIT ?)',
  daySums: `SELECT key, ${SUM_COLUMNS} FROM days WHERE day BETWEEN ? AND ? GROUP BY key`,
  usedSince: 'SELECT sum(credits) AS used FROM days WHERE key = ? AND day >= ?',
  page: 'SELECT page, crc FROM pages WHERE key = ?',
  pages: 'SELECT key, page, crc FROM pages',
  putPage: `INSERT INTO pages VALUES (?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET page = excluded.page, crc = excluded.crc`,
  runs: 'SELECT id, mark, seen_at, lost FROM runs ORDER BY seen_at DESC',
  putRun: `INSERT INTO runs VALUES (?, ?, ?, -1, NULL)
    ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, lost = NULL`,
  lost: 'SELECT lost FROM runs WHERE id = ?',
  putLost: 'UPDATE runs SET lost = ? WHERE id = ?',
  dropRow: 'DELETE FROM requests WHERE rowid = ? AND key = ? AND at = ?',
  seq: 'SELECT seq FROM runs WHERE id = ?',
  putSeq: 'UPDATE runs SET seq = ? WHERE id = ?',
  dropRun: 'DELETE FROM runs WHERE id = ?',
  prices: 'SELECT model, size, lessons FROM prices',
  putPrice: `INSERT INTO prices VALUES (?, ?, ?)
    ON CONFLICT (model, size) DO UPDATE SET lessons = excluded.lessons`,
  audit: `INSERT INTO audit (at, who, via, address, action, subject, before, after) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
  pruneAudit: 'DELETE FROM audit WHERE n <= (SELECT max(n) FROM audit) - ?',
  booked: `SELECT total(credits) AS booked FROM days WHERE key <> 'kiro'`,
  bookDays: BOOK_DAYS,
  plan: 'SELECT record FROM plans WHERE account = ?',
  putPlan: `INSERT INTO plans VALUES (?, ?, ?)
    ON CONFLICT (account) DO UPDATE SET record = excluded.record, at = excluded.at`,
  damagedAt: `SELECT value FROM meta WHERE name = 'damaged-at'`,
  putDamagedAt: `INSERT INTO meta VALUES ('damaged-at', ?)
    ON CONFLICT (name) DO UPDATE SET value = excluded.value`
} as const

/** Rows deleted per batch: a millisecond or two. */
const PRUNED_ROWS = 250
/** Newest changes by people. */
const MAX_AUDIT = 10_000
/** Interval of checks of other runs and marks of this one: each beat of the primary. */
const LOOK_MS = 9_000
/** Silence after which a run in another container, whose processes cannot be seen, counts as over. */
const STALE_MS = 120_000
/** Newest silent runs, for a paused one that goes on. A container that dies at each start leaves one every minute. */
const MAX_SILENT = 100
/** Another gateway on the folder writes for a few milliseconds at a time. */
const BUSY_MS = 5_000

/**
 * `usage.db`, in a thread of the primary, since calls may wait for the disk. Other gateways on the folder
 * may have it open: each batch is one transaction that begins by reading what it changes.
 * A batch that leases credits is on the disk before it returns. A power cut may lose other batches, the
 * newest first, which gives no key more: unsettled credits are still held.
 */
export class BookDatabase {
  readonly #path: string
  readonly #run: BookRun
  readonly #onWait: OnWait
  #db: DatabaseSync
  #statements: Statements
  #identity: string
  /** Pages as last written, for a file that is removed in use. Bounded by the keys that there are. */
  readonly #written = new Map<string, Page>()
  /** Pages of the running transaction. Bounded by the same. */
  readonly #unwritten = new Map<string, Page>()
  /** Names of keys. Bounded by the keys that there are. */
  readonly #names = new Map<string, string>()
  readonly #refused = new RefusedRows()
  #lookedAt = -Infinity
  #hasOthers = false
  /** The last transaction failed: the next batch shows whether writing works. */
  #hasFailed = false

  private constructor(path: string, run: BookRun, { db, identity }: OpenFile, onWait: OnWait) {
    this.#path = path
    this.#onWait = onWait
    this.#run = run
    this.#db = db
    this.#identity = identity
    this.#statements = prepare(db)
  }

  /**
   * Renames a damaged file; the new one says since when nothing is known. Calls `onWait` while another gateway has the lock, and before a file of an earlier version is changed.
   * @throws the error of SQLite or the file system
   */
  static async open(opening: BookOpening, onWait: OnWait = () => {}) {
    const { path, now, damagedFile } = opening
    await removeDrafts(path)
    const identity = await identityOf(path)
    const begun = await readAside(path)
    const isBegun = begun !== null && (identity === null || identity === begun.identity)
    const aside = { identity: identity ?? '', target: isBegun ? begun.target : targetAt(path, now) }
    if (isBegun || (identity !== null && identity === damagedFile)) {
      return BookDatabase.#openSound(opening, await putAside(path, aside, onWait), onWait)
    }
    try {
      return await BookDatabase.#openSound(opening, null, onWait)
    } catch (cause) {
      if (!isDamage(cause)) throw cause
      return BookDatabase.#openSound(opening, await putAside(path, aside, onWait), onWait)
    }
  }

  static async #openSound(opening: BookOpening, setAside: string | null, onWait: OnWait) {
    const { path, now, run, isKept, periods } = opening
    const earlier = await readEarlier(path)
    const aside = await readAside(path)
    const begin: Begin = (db, isDamaged) => {
      if (isDamaged) db.prepare(SQL.putDamagedAt).run(now)
      else takeOver(db, periods, earlier)
    }
    const file = await openFile(path, begin, onWait)
    if (earlier !== null) await removeEarlier(path)
    if (aside !== null) await rm(asidePath(path), { force: true }) // the book says it by now, or was restored
    try {
      const book = new BookDatabase(path, run, file, onWait)
      const losses = book.#inTransaction(() => book.#look({ now, isKept }))
      return {
        book,
        opened: { prices: book.#prices(), setAside, hasOthers: book.#hasOthers, ...losses }
      }
    } catch (error) {
      file.db.close()
      throw error
    }
  }

  get identity(): string {
    return this.#identity
  }

  /** @throws the error of SQLite or the file system, with nothing written */
  async commit(batch: BookBatch): Promise<BookAnswer> {
    await this.#followFile()
    const unchanged = this.#pagesUnchanged(batch)
    if (unchanged !== null) return { pages: unchanged, hasOthers: this.#hasOthers, ...NO_LOSS }
    const isLease = batch.asks.some(({ want, reopened }) => want > 0 || reopened !== null)
    const mustStay = isLease || batch.audit.length > 0
    this.#db.exec(`PRAGMA synchronous = ${mustStay ? 'FULL' : 'NORMAL'}`)
    return this.#inTransaction(() => {
      const losses = this.#look(batch)
      const isWritten = Number(this.#statements.seq.get(this.#run.id)?.['seq'] ?? -1) >= batch.seq
      // Nor its leases: an ended thread may execute old messages when others have gone on.
      const pages = this.#turnPages(isWritten ? { ...batch, charges: [], asks: [] } : batch)
      if (!isWritten) {
        this.#writeRows(batch)
        this.#statements.putSeq.run(batch.seq, this.#run.id)
      }
      return { pages, hasOthers: this.#hasOthers, ...losses }
    })
  }

  /**
   * Saves a transaction: gateways on one folder ask several times a second. `null` if there is something to
   * write.
   */
  #pagesUnchanged(batch: BookBatch): readonly PageNews[] | null {
    const { rows, sums, names, charges, prices, audit, asks, now } = batch
    const { length } = [...rows, ...sums, ...names, ...charges, ...prices, ...audit]
    if (length > 0 || this.#hasFailed || this.#isLookDue(now)) return null
    const news: PageNews[] = []
    for (const ask of asks) {
      const page = this.#read(ask.key)
      if (page === null) return null
      const next = eventsOf(ask, this.#run.id).reduce(nextPage, page)
      if (formatPage(next) !== formatPage(page)) return null
      news.push(toNews(ask.key, page, this.#run.id))
    }
    return news
  }

  #writeRows(batch: BookBatch): void {
    this.#insertSums(batch.rows, batch.sums)
    for (const [id, name] of batch.names) {
      this.#statements.name.run(id, name)
      this.#names.set(id, name)
    }
    for (const { model, size, lessons } of batch.prices) {
      this.#statements.putPrice.run(model, size, JSON.stringify(lessons))
    }
    for (const { at, who, via, address, action, subject, before, after } of batch.audit)
      this.#statements.audit.run(at, who, via, address, action, subject, before, after)
    if (batch.audit.length > 0) this.#statements.pruneAudit.run(MAX_AUDIT)
    this.#statements.prune.run(batch.pruneBefore, PRUNED_ROWS)
  }

  #insertSums(rows: readonly BookRow[], more: readonly DaySums[]): void {
    this.#insertAll(rows)
    this.#addToDays(rows, more)
  }

  #addToDays(rows: readonly BookRow[], more: readonly DaySums[] = []): void {
    for (const { day, key, client, model, sums } of sumsOfDays(rows, more)) {
      this.#statements.addDay.run(day, key, client, model, ...Object.values(sums))
    }
  }

  #insertAll(rows: readonly BookRow[]): void {
    const shared = new Map<SharedRow, [BookRow, ...BookRow[]]>()
    for (const row of rows) {
      const place = this.#refused.sharedRowOf(row)
      const others = place === null ? null : shared.get(place)
      if (place === null) this.#statements.insert.run(...valuesOf(row))
      else if (others === undefined) shared.set(place, [row])
      else others?.push(row)
    }
    for (const [place, some] of shared) this.#count(place, some)
  }

  /** Counts refused requests in their shared row, which may have to be made. */
  #count(place: SharedRow, some: readonly [BookRow, ...BookRow[]]): void {
    const row = inCommon(some)
    const { client, dialect, model, key, code } = row
    const countOn = (times: number): boolean =>
      place.rowid !== null &&
      this.#statements.countOn.run(times, client, dialect, model, place.rowid, key, code).changes >
        0
    if (countOn(some.length)) return
    place.rowid = this.#statements.insert.run(...valuesOf(row)).lastInsertRowid
    countOn(some.length - 1)
  }

  /** Sums by key for the days from `since` to `until`. */
  sums(since: number, until: number): readonly (readonly [string, UsageSums])[] {
    const days = [Math.floor(since / DAY_MS), Math.floor(until / DAY_MS)] as const
    return this.#statements.daySums.all(...days).map((row) => [String(row['key']), toSums(row)])
  }

  /** @throws the error of SQLite or the file system */
  async look(account: string, look: PlanLook): Promise<PlanStory> {
    await this.#followFile()
    return this.#inTransaction(() => {
      const before = parsePlan(String(this.#statements.plan.get(account)?.['record']))
      const booked = Number(this.#statements.booked.get()?.['booked'])
      const record = nextPlan(before, look, booked)
      this.#statements.putPlan.run(account, JSON.stringify(record), record.at)
      const days = this.#statements.bookDays.all(dayOf(look.at) - MAX_DAYS)
      return {
        record,
        bookDays: days.map(({ day, credits }) => [Number(day), Number(credits)])
      }
    })
  }

  destroy(): void {
    this.#db.close()
  }

  /** Ends this run in order: its charges are settled, and the rest of its leases is freed. */
  close(): void {
    try {
      this.#inTransaction(() => {
        const run = this.#run.id
        this.#regain()
        for (const [key, page] of this.#pagesOf(run)) {
          this.#write(key, nextPage(page, { type: 'end', run }))
        }
        this.#statements.dropRun.run(run)
      })
    } finally {
      this.#db.close()
    }
  }

  #turnPages({ charges, asks, now }: BookBatch): readonly PageNews[] {
    const changes = new Map<string, PageEvent[]>()
    const changesOf = (key: string): PageEvent[] => {
      const known = changes.get(key) ?? []
      changes.set(key, known)
      return known
    }
    const run = this.#run.id
    for (const { key, period, credits } of charges) {
      changesOf(key).push({ type: 'settle', run, period, amount: credits })
    }
    for (const ask of asks) changesOf(ask.key).push(...eventsOf(ask, run))
    const asked = new Map(asks.map((ask) => [ask.key, ask]))
    const news: PageNews[] = []
    for (const [key, events] of changes) {
      const ask = asked.get(key)
      const before = this.#read(key) ?? (ask === undefined ? null : this.#newPage(ask, now))
      if (before === null) continue // a key that has had no limit since the book was made
      const page = events.reduce(nextPage, before)
      this.#write(key, page)
      news.push(toNews(key, page, run))
    }
    return news
  }

  /** A page of a damaged book stays closed, unless the key or its period is younger. */
  #newPage({ period, createdAt }: PageAsk, now: number): Page {
    const damagedAt = damagedAtIn(this.#statements)
    const isOlder = createdAt < damagedAt && period.startsAt < damagedAt
    // A clock may have been set back since: a statement made now must count.
    return openPage(period, { closedAt: isOlder ? Math.min(damagedAt, now) : null })
  }

  #read(key: string): Page | null {
    const row = this.#statements.page.get(key)
    return row === undefined ? null : parsePage(key, row)
  }

  #write(key: string, page: Page): void {
    putPage(this.#statements, key, page)
    this.#unwritten.set(key, page)
  }

  #look({ now, isKept }: Moment): BookLosses {
    const own = this.#statements.lost.get(this.#run.id)
    const regained = this.#regain() // a batch may be older than the pause in which it was not written
    if (own !== undefined && !this.#isLookDue(now)) return { lost: [], regained }
    this.#lookedAt = now
    this.#statements.putRun.run(this.#run.id, JSON.stringify(this.#run.mark), now)
    const lost: WrittenOff[] = []
    this.#hasOthers = false
    let silent = 0
    for (const { id, mark, seen_at: seenAt, lost: before } of this.#statements.runs.all()) {
      if (id === this.#run.id) continue
      const fate = fateOfRun(parseMark(mark), now - Number(seenAt))
      if (fate === 'running') {
        this.#hasOthers = true
        continue
      }
      const given = before === null ? this.#lose(String(id), isKept ? now : null) : []
      lost.push(...given)
      if (fate === 'unknown') silent += 1
      if (fate === 'gone' || silent > MAX_SILENT) this.#statements.dropRun.run(String(id))
      else if (before === null) this.#statements.putLost.run(withChecksum(given), String(id))
    }
    return { lost: lost.filter(({ credits }) => credits > 0), regained }
  }

  #isLookDue(now: number): boolean {
    return Math.abs(now - this.#lookedAt) >= LOOK_MS
  }

  /** Counts what a run holds as used, with rows where requests have some, so that all sums agree. */
  #lose(run: string, rowsAt: number | null): readonly WrittenOff[] {
    return this.#pagesOf(run).map(([key, page]) => {
      const { held: credits, settled } = leaseIn(page, run)
      this.#write(key, nextPage(page, { type: 'lose', run }))
      const off = { key, period: page.period.number, credits, settled }
      if (rowsAt === null || credits === 0) return { ...off, row: null }
      const row = lostRow(key, credits, rowsAt)
      const id = Number(this.#statements.insert.run(...valuesOf(row)).lastInsertRowid)
      this.#addToDays([row])
      return { ...off, row: { id, at: rowsAt } }
    })
  }

  /** Takes back what was written off during this run's silence, with the rows for it. */
  #regain(): readonly LostCredits[] {
    const run = this.#run.id
    const text = this.#statements.lost.get(run)?.['lost'] ?? null
    if (text === null) return []
    const all = parseLost(String(text))
    for (const { key, period, credits, settled, row } of all) {
      const page = this.#read(key)
      if (page !== null)
        this.#write(key, nextPage(page, { type: 'regain', run, period, held: credits, settled }))
      if (row === null) continue
      this.#statements.dropRow.run(row.id, key, row.at)
      const [day] = sumsOfDays([lostRow(key, -credits, row.at)])
      if (day !== undefined)
        this.#addToDays([], [{ ...day, sums: { ...day.sums, requests: -1, failed: -1 } }])
    }
    this.#statements.putLost.run(null, run)
    return all.filter(({ credits }) => credits > 0)
  }

  #pagesOf(run: string): readonly (readonly [key: string, page: Page])[] {
    return this.#statements.pages
      .all()
      .map((row) => [String(row['key']), parsePage(String(row['key']), row)] as const)
      .filter(([, page]) => page.leases.has(run))
  }

  #prices(): readonly PriceLessons[] {
    return this.#statements.prices.all().map(({ model, size, lessons }) => ({
      model: String(model),
      size: Number(size),
      lessons: parseLessons(String(lessons))
    }))
  }

  /** Reopens a file that was removed or replaced: otherwise nothing could read what is written. */
  async #followFile(): Promise<void> {
    if ((await identityOf(this.#path)) === this.#identity) return
    const begin: Begin = (next, isDamaged) => {
      if (isDamaged) next.prepare(SQL.putDamagedAt).run(Date.now())
      else this.#restore(prepare(next))
    }
    const { db, identity } = await openFile(this.#path, begin, this.#onWait)
    try {
      const statements = prepare(db)
      inTransaction(db, () => this.#restore(statements)) // another gateway may have made the file
      this.#statements = statements
    } catch (cause) {
      db.close()
      throw cause
    }
    this.#db.close()
    this.#db = db
    this.#identity = identity
    this.#lookedAt = -Infinity
  }

  #restore(statements: Statements): void {
    if (damagedAtIn(statements) === 0) {
      for (const [key, page] of this.#written)
        if (statements.page.get(key) === undefined) putPage(statements, key, page)
    }
    for (const [id, name] of this.#names) statements.name.run(id, name)
  }

  #inTransaction<T>(write: () => T): T {
    this.#hasFailed = true
    this.#unwritten.clear()
    const result = inTransaction(this.#db, write)
    for (const [key, page] of this.#unwritten) this.#written.set(key, page)
    this.#hasFailed = false
    return result
  }
}

/** Order of changes to a page: what is given back may be leased again at once. */
function eventsOf(
  { period, cap, want, release, reopened }: PageAsk,
  run: string
): readonly PageEvent[] {
  return [
    ...(reopened === null ? [] : [{ type: 'reopen', ...reopened } as const]),
    { type: 'begin', period },
    { type: 'release', run, amount: release },
    { type: 'lease', run, want, cap }
  ]
}

function toNews(key: string, page: Page, run: string): PageNews {
  const { held, settled } = leaseIn(page, run)
  return {
    key,
    period: page.period,
    used: page.used,
    share: held + settled,
    settled,
    heldElsewhere: heldIn(page, run),
    wishedElsewhere: wishedIn(page, run),
    isClosed: page.closedAt !== null
  }
}

type Moment = Pick<BookBatch, 'now' | 'isKept'>

interface OpenFile {
  readonly db: DatabaseSync
  readonly identity: string
}

/** Writes the first rows of a book, which may follow a damaged one. */
type Begin = (db: DatabaseSync, isDamaged: boolean) => void

/** Opens a file. A new or earlier one is left as it was, or gets everything that `begin` writes. */
/** Told the reason before a wait that may last longer than a disk's usual answer. */
type OnWait = (reason: 'locked' | 'upgrading') => void

async function openFile(path: string, begin: Begin, onWait: OnWait): Promise<OpenFile> {
  await makeFolder(dirname(path))
  if (!(await isThere(path))) await makeFile(path, begin, onWait)
  refuseLink(path, await lstat(path)) // SQLite would follow it
  const identity = await identityOf(path)
  if (identity === null) throw Object.assign(new Error('it is gone'), { code: 'ENOENT' })
  const db = new DatabaseSync(urlOf(path), { timeout: BUSY_MS })
  try {
    const version = versionOf(db)
    if (version > USAGE_SCHEMA) throw new Error(`it is of a newer version (${version})`)
    if (version === 0) throw new DamagedText('it is empty')
    db.exec('PRAGMA journal_mode = WAL; PRAGMA cache_size = -512')
    if (version < USAGE_SCHEMA || !isComplete(db)) {
      onWait('upgrading')
      inTransaction(db, () => upgrade(db, begin))
    }
    for (const row of db.prepare(SQL.pages).all()) parsePage(String(row['key']), row)
    return { db, identity }
  } catch (error) {
    db.close()
    throw error
  }
}

/** Address of an existing file. SQLite would make an empty one for a path. */
function urlOf(path: string): URL {
  const url = pathToFileURL(path)
  url.searchParams.set('mode', 'rw')
  return url
}

/** Returns true also for a link that leads nowhere. */
async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return false
    throw cause
  }
}

/**
 * Makes a book that has its name only when it is complete: an empty file with that name is a damaged book.
 * @throws an error that says LOCKED while another process makes it or sets a damaged one aside
 */
async function makeFile(path: string, begin: Begin, onWait: OnWait): Promise<void> {
  await inLock(path, onWait, async (lock) => {
    if (await isThere(path)) return // another gateway was first
    const isDamaged = (await readAside(path)) !== null
    const draft = draftOf(path)
    try {
      await createPrivateFile(draft, '')
      writeNew(draft, (db) => begin(db, isDamaged))
      if (lock === null) throw new Error('its lock cannot be made')
      await lock.extend() // another gateway may have taken it while the disk stood still
      await putInPlace(draft, path)
    } catch (error) {
      await rm(draft, { force: true }).catch(() => {}) // then it stays until a later start
      throw error
    }
    await syncFolder(dirname(path))
  })
}

/** Keeps a book that an operator has restored meanwhile. */
async function putInPlace(draft: string, path: string): Promise<void> {
  if (!(await isThere(path))) {
    for (const end of COMPANIONS) await rm(path + end, { force: true }) // SQLite would apply those of a deleted book
    try {
      await link(draft, path)
    } catch (cause) {
      if (codeOf(cause) !== 'EEXIST') await rename(draft, path) // some file systems have no links
    }
  }
  await rm(draft, { force: true })
}

function writeNew(path: string, begin: (db: DatabaseSync) => void): void {
  const db = new DatabaseSync(urlOf(path))
  try {
    // The journal in memory: a process that is killed leaves no second file.
    db.exec('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = FULL')
    inTransaction(db, () => {
      db.exec(TABLES)
      begin(db)
    })
  } finally {
    db.close()
  }
}

function upgrade(db: DatabaseSync, begin: Begin): void {
  const version = versionOf(db)
  const isWithFacts = hasFacts(db)
  if (version >= USAGE_SCHEMA && isComplete(db)) return // another gateway was first
  const columns = [
    isWithFacts ? '' : ADD_FACTS,
    version === 1 ? ADD_TIMES : '',
    version === 1 || version === 2 ? ADD_METERING : '',
    version === 3 ? ADD_LOST : ''
  ]
  db.exec(columns.join('') + TABLES)
  if (version < 3) begin(db, false)
}

/** Programs of version 4 without these columns and this index go on with a file that has them, so the version stays. */
function isComplete(db: DatabaseSync): boolean {
  const indexes = db.prepare('PRAGMA index_list(requests)').all()
  return hasFacts(db) && indexes.some(({ name }) => name === 'requests_at_id')
}

function hasFacts(db: DatabaseSync): boolean {
  const columns = db.prepare('PRAGMA table_info(requests)').all()
  return columns.some(({ name }) => name === 'facts')
}

function versionOf(db: DatabaseSync): number {
  return Number(db.prepare('PRAGMA user_version').get()?.['user_version'])
}

/** Takes over credits of the version before: its record of them is exact, its rows are the substitute. */
function takeOver(
  db: DatabaseSync,
  periods: BookOpening['periods'],
  earlier: readonly EarlierCredits[] | null
): void {
  for (const { key, period } of periods) {
    const day = Math.floor(period.startsAt / DAY_MS)
    const used =
      earlier === null
        ? Number(db.prepare(SQL.usedSince).get(key, day)?.['used'] ?? 0)
        : usedIn(earlier, key, period)
    putPage({ putPage: db.prepare(SQL.putPage) }, key, openPage(period, { used }))
  }
}

function inTransaction<T>(db: DatabaseSync, write: () => T): T {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = write()
    db.exec('COMMIT')
    return result
  } catch (error) {
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}

type Statements = Readonly<Record<keyof typeof SQL, StatementSync>>

/** @throws {DamagedText} for a missing table */
function prepare(db: DatabaseSync): Statements {
  try {
    const prepared = Object.entries(SQL).map(([name, sql]) => [name, db.prepare(sql)] as const)
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the same names
    return Object.fromEntries(prepared) as Statements
  } catch (cause) {
    if (errcodeOf(cause) !== SQLITE_ERROR) throw cause
    throw new DamagedText(messageOf(cause))
  }
}

/** A damaged file being set aside. Written down first: a kill between two steps must not open any limit. */
interface Aside {
  readonly identity: string
  readonly target: string
}

function asidePath(path: string): string {
  return `${path}.damaged`
}

function targetAt(path: string, now: number): string {
  return `${path}.damaged-${new Date(now).toISOString().replaceAll(/[:.]/g, '-')}`
}

async function readAside(path: string): Promise<Aside | null> {
  try {
    const [identity = '', name = ''] = (await readFile(asidePath(path), 'utf8')).split('\n')
    return { identity, target: join(dirname(path), basename(name)) }
  } catch (cause) {
    if (codeOf(cause) === 'ENOENT') return null
    throw cause
  }
}

/**
 * Returns the new path of the damaged book, or `null` if another one is in its place. Of several that
 * find the damage at once, one renames and the others wait.
 * @throws an error that says LOCKED while another process does it
 */
async function putAside(
  path: string,
  { identity, target }: Aside,
  onWait: OnWait
): Promise<string | null> {
  return inLock(path, onWait, async () => {
    const now = await identityOf(path)
    if (now === null) return (await readAside(path))?.target ?? null // another gateway has renamed it
    if (now !== identity) return null
    const text = `${identity}\n${basename(target)}\n`
    await replaceFile(asidePath(path), { text, mode: 0o600, isDurable: true })
    for (const end of [...COMPANIONS, '']) {
      await rename(path + end, target + end).catch((cause: unknown) => {
        if (codeOf(cause) !== 'ENOENT') throw cause
      })
    }
    return target
  })
}

/** Wait for a lock that another gateway has, from which on it is told: shorter than a disk may stand still. */
const LONG_WAIT_MS = 1_000
/** Files that SQLite keeps beside its database. */
const COMPANIONS = ['-wal', '-shm', '-journal']

/** Lets one gateway at a time make the file or set it aside. The lock is `null` where none can be made. */
async function inLock<T>(
  path: string,
  onWait: OnWait,
  work: (lock: HeldLock | null) => Promise<T>
): Promise<T> {
  const lockPath = `${asidePath(path)}.lock`
  const note = 'kiro-gateway makes usage.db, or sets a damaged one aside'
  let waiting: NodeJS.Timeout | undefined
  const onTaken = (): void => {
    waiting = setTimeout(() => onWait('locked'), LONG_WAIT_MS)
  }
  const lock = await new FileLock({ path: lockPath, fallbackPath: lockPath, note, onTaken })
    .acquire(AbortSignal.timeout(LOCK_PATIENCE_MS))
    .catch((cause: unknown) => {
      throw new Error(LOCKED, { cause })
    })
    .finally(() => clearTimeout(waiting))
  try {
    await removeDrafts(lockPath)
    return await work(lock)
  } finally {
    await lock?.release()
  }
}

/** True if the file itself is damaged, not just unwritable now. */
export function isDamage(cause: unknown): boolean {
  if (cause instanceof DamagedText) return true
  const code = errcodeOf(cause) % 256
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB
}

const [SQLITE_ERROR, SQLITE_CORRUPT, SQLITE_NOTADB] = [1, 11, 26]

/** SQLite's extended result code, or 0. */
export function errcodeOf(cause: unknown): number {
  return cause instanceof Error && 'errcode' in cause ? Number(cause.errcode) : 0
}

class DamagedText extends Error {}

interface WrittenPage {
  readonly period: Period
  readonly used: number
  readonly leases: Readonly<Record<string, PageLease>>
  readonly closedAt: number | null
}

function putPage({ putPage: put }: Pick<Statements, 'putPage'>, key: string, page: Page): void {
  const text = formatPage(page)
  put.run(key, text, crc32(key + text))
}

/** Epoch ms at which the previous book was found damaged; 0 for never. */
function damagedAtIn({ damagedAt }: Statements): number {
  return Number(damagedAt.get()?.['value'] ?? 0)
}

function formatPage({ period, used, leases, closedAt }: Page): string {
  const kept = [...leases].filter(([, { held, settled, wish }]) => held + settled + wish > 0)
  const written: WrittenPage = { period, used, leases: Object.fromEntries(kept), closedAt }
  return JSON.stringify(written)
}

/** @throws {DamagedText} */
function parsePage(key: string, row: Readonly<Record<string, unknown>>): Page {
  const text = String(row['page'])
  if (crc32(key + text) !== Number(row['crc']))
    throw new DamagedText(`the page of ${key} is damaged`)
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as it was written, by its checksum
  const written = JSON.parse(text) as WrittenPage
  return { ...written, leases: new Map(Object.entries(written.leases)) }
}

function parseLessons(text: string): readonly PriceLesson[] {
  const lessons = parseJson(text)
  if (!Array.isArray(lessons)) return [] // they are learnt again
  return lessons.flatMap((one: unknown): readonly PriceLesson[] => {
    if (!Array.isArray(one) || !one.every(Number.isFinite)) return []
    const [at, credits, weight] = one.map(Number)
    if (at === undefined || credits === undefined) return []
    return [weight === undefined ? [at, credits] : [at, credits, weight]]
  })
}

/** @throws {DamagedText} */
function parseMark(text: unknown): ProcessMark {
  const mark = parseJson(String(text))
  if (!isJsonObject(mark)) throw new DamagedText('the mark of a run is damaged')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as it was written
  return mark as unknown as ProcessMark
}

/** `unknown` for a run that is silent for long and whose processes cannot be seen. */
function fateOfRun(mark: ProcessMark, silentMs: number): ReturnType<typeof fateOf> {
  const fate = fateOf(mark)
  if (fate !== 'unknown') return fate
  return silentMs > STALE_MS ? 'unknown' : 'running'
}

interface WrittenOff extends LostCredits {
  readonly period: number
  readonly settled: number
  /** Row in `requests`; `null` if nothing is recorded. */
  readonly row: { readonly id: number; readonly at: number } | null
}

const NO_LOSS: BookLosses = { lost: [], regained: [] }

function withChecksum(lost: readonly WrittenOff[]): string {
  const text = JSON.stringify(lost)
  return `${crc32(text)} ${text}`
}

/** @throws {DamagedText} */
function parseLost(sealed: string): readonly WrittenOff[] {
  const text = sealed.slice(sealed.indexOf(' ') + 1)
  if (sealed !== `${crc32(text)} ${text}`) throw new DamagedText('what a run has lost is damaged')
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- as it was written, by its checksum
  return JSON.parse(text) as readonly WrittenOff[]
}

function valuesOf(row: BookRow) {
  const { at, key, client, dialect, model, status, code, credits, firstMs, repairs } = row
  const { metering = '' } = row
  const { inputTokens, outputTokens, cachedTokens, totalMs } = row
  const who = [at, key, client, dialect, model, status, code] as const
  return [
    ...who,
    inputTokens,
    outputTokens,
    cachedTokens,
    credits,
    totalMs,
    firstMs,
    repairs,
    metering,
    row.turn?.requestId.slice(0, MAX_ID_CHARS) ?? '',
    row.turn?.facts ?? ''
  ] as const
}

const MAX_ID_CHARS = 128

/** `null` without a file. */
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

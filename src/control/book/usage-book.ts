import { randomUUID } from 'node:crypto'
import type { EventEmitter } from 'node:events'
import { access } from 'node:fs/promises'
import { getCompileCacheDir } from 'node:module'
import { dirname } from 'node:path'
import { Worker } from 'node:worker_threads'
import type { UsageRow, UsageSums } from '../../ipc/usage-row.ts'
import { MICROS_PER_CREDIT, type NamedKey } from '../../keys/key.ts'
import type { PriceLessons } from '../../keys/prices.ts'
import type { Logger } from '../../observe/logger.ts'
import { messageOf } from '../../shared/errors.ts'
import { markOf } from '../../shared/process-mark.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import {
  type AuditEntry,
  type BookRow,
  type BookBatch,
  type BookCalls,
  type BookCharge,
  type BookFailure,
  type BookLosses,
  type BookOpened,
  type BookOpening,
  type FromBook,
  LOCKED,
  UPGRADING,
  type LostCredits,
  type PageAsk,
  type PageNews
} from './book-messages.ts'
import { factsText } from './row-facts.ts'
import type { PlanLook, PlanStory } from '../plan/plan-record.ts'
import { addSums, DAY_MS, type DaySums, NOTHING_USED, sumsOfDays, usagePath } from './usage-sums.ts'

export type BookThread = Pick<Worker, 'postMessage' | 'ref' | 'unref' | 'terminate'> &
  Pick<EventEmitter, 'on'>

export interface UsageBookOptions {
  readonly stateDir: string
  readonly settings: () => { readonly isKept: boolean; readonly retentionDays: number }
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  readonly periods: () => BookOpening['periods']
  readonly onOpened: (prices: readonly PriceLessons[]) => void
  readonly onPages: (pages: readonly PageNews[]) => void
  /** Called when the book becomes unwritable or writable, and when another gateway starts or stops using it. */
  readonly onChange: () => void
  /** Epoch ms. */
  readonly now?: () => number
  readonly startThread?: () => BookThread
  readonly timing?: Partial<typeof TIMING>
}

const TIMING = {
  /** Rows of this time are written together. */
  writeMs: 200,
  /** Pause after a failure; a full disk may heal by itself. */
  retryMs: 1_000,
  /** A longer commit means that the disk stands still. */
  stallMs: 2_000,
  /** Silence after which a thread is ended. Limited keys are refused by then. */
  hangMs: 60_000,
  /** Silence allowed while a file of an earlier version gets its index: a minute for some million rows on a good disk. */
  upgradeMs: 4 * 3_600_000,
  /** Longest wait at the gateway's end, whatever the disk does. */
  closeMs: 5_000,
  /** Interval of marks that this gateway lives. */
  beatMs: 10_000,
  /** Time in which other gateways on the folder notice this one and give back what they can. */
  noticeMs: 12_000
}

/** At most a kilobyte each, and a thousand of them three; rows beyond become sums of days. */
const MAX_WAITING_ROWS = 5_000
/** Rows that are written without waiting for more. */
const MANY_WAITING_ROWS = 1_000
/** Limit of a day, since clients choose their names. */
const MAX_CLIENTS = 100
const MAX_MODELS = 200
const OTHER = 'other'
/** Changes by people that wait for a disk; the log has them, too. */
const MAX_WAITING_AUDIT = 1_000
/** MiB */
const THREAD_HEAP_MB = 24
/** Threads that stand still, besides one that works. */
const MAX_ENDING = 2

export interface BookProblem {
  /** `performance.now()` */
  readonly since: number
  readonly reason: string
  /** True for a problem that ends by itself: another gateway has locked the file, or it is brought to this version's form. */
  readonly isPassing: boolean
}

interface Pending {
  readonly thread: BookThread
  watchdog: NodeJS.Timeout
  readonly resolve: (answer: unknown) => void
  readonly reject: (reason: BookFailed) => void
}

export class BookFailed extends Error {
  readonly failure: BookFailure

  constructor(failure: BookFailure) {
    super(failure.message)
    this.failure = failure
  }
}

interface Ask {
  readonly ask: PageAsk
  readonly resolve: (news: PageNews) => void
  readonly reject: (cause: unknown) => void
}

interface Taken {
  readonly batch: BookBatch
  readonly asks: ReadonlyMap<string, Ask>
}

/**
 * The account book for the primary: collects what is to be written, has the thread write it, and keeps it until that has
 * succeeded. Delays no request except for credits that must be leased first.
 *
 *   unused ──first row or key with a limit──▶ opening ──▶ open ◀──▶ failing, tried again each second
 */
export class UsageBook {
  readonly run = randomUUID()
  readonly #options: UsageBookOptions
  readonly #timing: typeof TIMING
  readonly #now: () => number
  #thread: BookThread | null = null
  #isOpen = false
  #isUpgrading = false
  /** Resolves when the thread runs or is gone. A slow start, seconds on a busy machine, is not the disk's fault. */
  #started = Promise.withResolvers<void>()
  /** By id. Bounded by what is under way: one commit, one look at the sums, one at the plan. */
  readonly #pending = new Map<number, Pending>()
  /** Ended threads that have not gone. Bounded by MAX_ENDING. */
  readonly #ending = new Set<BookThread>()
  #nextId = 0
  readonly #openOnce = singleFlight(() => this.#openAnew())
  /** Bounded by MAX_WAITING_ROWS. */
  #rows: BookRow[] = []
  /** Bounded by the clients and models of a day, and the keys. */
  #sums: readonly DaySums[] = []
  /** Charges by key and period. Bounded by the keys with a limit. */
  readonly #charges = new Map<string, BookCharge>()
  /** Names of all keys by id, also before the book has them. Bounded by the keys that there are. */
  #nameOf: ReadonlyMap<string, string> = new Map()
  /** Names that the book lacks, by id. Bounded by the keys that there are. */
  #names = new Map<string, string>()
  /** Names that the book has. Bounded by the same. */
  #known = new Map<string, string>()
  /** One for each key. Bounded by the keys that there are. */
  readonly #asks = new Map<string, Ask>()
  /** Prices by model and size. Bounded by the prices that are learnt. */
  readonly #prices = new Map<string, PriceLessons>()
  /** Bounded by MAX_WAITING_AUDIT. */
  #audit: AuditEntry[] = []
  #timer: { readonly handle: NodeJS.Timeout; readonly dueAt: number } | null = null
  /** Never rejects. */
  readonly #commit = singleFlight(
    () => this.#doCommit(),
    () => {
      const { writeMs, retryMs } = this.#timing
      if (!this.#isDue) return
      this.#wake(this.#problem !== null ? retryMs : this.#asks.size > 0 ? 0 : writeMs)
    }
  )
  #seq = 0
  /** Batch that the thread is about to get. */
  #taken: Pick<BookBatch, 'rows' | 'sums'> | null = null
  /** Batch whose thread ended: it may be written. Sent again first, unchanged. */
  #unsure: Taken | null = null
  #problem: BookProblem | null = null
  /** A commit takes too long: nothing else would be answered. */
  #isStalled = false
  /** To be set aside at the next opening. */
  #damagedFile: string | null = null
  #hasOthers = false
  #beat: NodeJS.Timeout | null = null
  #isBeatDue = false
  /** `performance.now()` of the first opening; `null` before. */
  #openedAt: number | null = null
  #isClosed = false
  /** Names of today. Bounded by MAX_CLIENTS and MAX_MODELS. */
  readonly #today = { day: 0, clients: new Set<string>(), models: new Set<string>() }

  constructor(options: UsageBookOptions) {
    this.#options = options
    this.#timing = { ...TIMING, ...options.timing }
    this.#now = options.now ?? (() => Date.now())
  }

  /** `null` while the book can be written. */
  get problem(): BookProblem | null {
    return this.#problem
  }

  get hasOthers(): boolean {
    return this.#hasOthers
  }

  /** Other gateways have had time to notice this one. */
  get isNoticed(): boolean {
    return this.#openedAt !== null && performance.now() - this.#openedAt >= this.#timing.noticeMs
  }

  setKeys(keys: readonly Pick<NamedKey, 'id' | 'name'>[]): void {
    this.#nameOf = new Map(keys.map(({ id, name }) => [id, name]))
    this.#known = new Map([...this.#known].filter(([id]) => this.#nameOf.has(id)))
    const unknown = keys.filter(({ id, name }) => this.#known.get(id) !== name)
    this.#names = new Map(unknown.map(({ id, name }) => [id, name]))
  }

  /** Resolves after the first success or failure; later tries follow. */
  async start(): Promise<void> {
    try {
      const opening = this.#open()
      await Promise.race([this.#started.promise, opening])
      await soon(opening, this.#timing.stallMs)
      await soon(this.flush(), this.#timing.stallMs)
    } catch (cause) {
      this.#fail(cause)
    }
  }

  record(rows: readonly UsageRow[]): void {
    if (this.#isClosed) return
    const { isKept } = this.#options.settings()
    for (const row of rows) {
      for (const { period, credits } of row.charges ?? []) this.#charge(row.key, period, credits)
      if (isKept) this.#rows.push(this.#within(row))
    }
    if (this.#rows.length > MAX_WAITING_ROWS) {
      this.#sums = sumsOfDays(this.#rows.splice(0, this.#rows.length / 2), this.#sums)
    }
    const isMany = this.#rows.length >= MANY_WAITING_ROWS && this.#problem === null
    if (isKept || this.#charges.size > 0) this.#wake(isMany ? 0 : this.#timing.writeMs)
  }

  keepPrices(lessons: PriceLessons): void {
    this.#prices.set(`${lessons.size} ${lessons.model}`, lessons)
  }

  /** Resolves when the entry is written, or cannot be now; then it is kept for later. Never rejects. */
  async keepAudit(entry: AuditEntry): Promise<void> {
    if (this.#isClosed) return
    if (this.#audit.length >= MAX_WAITING_AUDIT) this.#audit.shift()
    this.#audit.push(entry)
    this.#wake(0)
    await soon(this.flush(), this.#timing.stallMs).catch(() => {}) // the next attempt to write says why
  }

  /**
   * One call per key at a time.
   * @throws {BookFailed} while the book cannot be written
   */
  ask(ask: PageAsk): Promise<PageNews> {
    const { promise, resolve, reject } = Promise.withResolvers<PageNews>()
    this.#asks.set(ask.key, { ask, resolve, reject })
    this.#wake(this.#problem === null ? 0 : this.#timing.retryMs)
    return promise
  }

  /** Sums by key from that day on, with rows that wait to be written; `null` if nothing can be read. Never rejects. */
  async sums(since: number): Promise<ReadonlyMap<string, UsageSums> | null> {
    if (this.#isStalled) return null
    return soon(this.#sumsSince(since), this.#timing.stallMs).catch(() => null) // the next attempt to write says why
  }

  async #sumsSince(since: number): Promise<ReadonlyMap<string, UsageSums> | null> {
    const path = usagePath(this.#options.stateDir)
    if (this.#thread === null && this.#rows.length === 0) await access(path)
    if (this.#isClosed || !this.#options.settings().isKept) return null
    await this.#open()
    const waiting = this.#waitingSums()
    const sums = new Map(await this.#call('sums', { since, until: this.#now() }))
    for (const { day, key, sums: more } of waiting) {
      if (day >= Math.floor(since / DAY_MS))
        sums.set(key, addSums(sums.get(key) ?? NOTHING_USED, more))
    }
    return sums
  }

  /** Without what the thread has got: it writes that before it reads. */
  #waitingSums(): readonly DaySums[] {
    const { rows, sums } = this.#taken ?? { rows: [], sums: [] }
    return sumsOfDays([...rows, ...this.#rows], [...sums, ...this.#sums])
  }

  /** Resolves with the file once it has all that there is to write and this version's form; `null` without a file. */
  async fileToRead(): Promise<string | null> {
    const path = usagePath(this.#options.stateDir)
    await soon(this.flush(), this.#timing.stallMs).catch(() => {}) // what is there can be read
    try {
      if (this.#thread === null) await access(path)
      if (this.#problem === null && !this.#isClosed) await soon(this.#open(), this.#timing.stallMs)
      return path
    } catch {
      return null
    }
  }

  /** `null` if nothing is recorded, or it cannot be written. Never rejects. */
  async look(account: string, look: PlanLook): Promise<PlanStory | null> {
    if (this.#problem !== null) return null
    return soon(this.#lookNow(account, look), this.#timing.stallMs).catch(() => null) // the next attempt to write says why
  }

  async #lookNow(account: string, look: PlanLook): Promise<PlanStory | null> {
    if (!this.#options.settings().isKept || this.#isClosed) return null
    await this.flush()
    if (this.#thread === null) await access(usagePath(this.#options.stateDir))
    if (this.#problem !== null || this.#isClosed) return null
    await this.#open()
    return this.#call('look', { account, look })
  }

  /** Resolves when everything has been written, or cannot be. */
  async flush(): Promise<void> {
    await this.#commit.running
    if (this.#isDue && this.#problem === null) await this.#commit()
  }

  /** Writes the rest and ends the run. Never rejects. */
  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer.handle)
    if (this.#beat !== null) clearInterval(this.#beat)
    await soon(this.#finish(), this.#timing.closeMs).catch(() => {
      if (this.#thread !== null) this.#leaveThread(this.#thread, NO_ANSWER)
    })
  }

  async #finish(): Promise<void> {
    await this.#commit.running
    if (this.#isDue) await this.#commit()
    if (this.#isDue && this.#problem !== null) await this.#commit() // its thread may just have ended
    while (this.#isDue && this.#problem === null) await this.#commit() // the first may have been one that was unsure
    const isSettled = this.#charges.size === 0 && this.#unsure === null
    if (this.#openedAt !== null && isSettled) {
      // What cannot be given back or written counts as used at the next start.
      await this.#open()
        .then(() => this.#call('close', null))
        .catch(() => {})
    }
    const thread = this.#thread
    this.#thread = null
    await thread?.terminate()
  }

  get #isDue(): boolean {
    const used =
      this.#rows.length +
      this.#sums.length +
      this.#charges.size +
      this.#asks.size +
      this.#audit.length
    const prices = this.#openedAt === null ? 0 : this.#prices.size // no file is made for them alone
    return used + prices > 0 || this.#unsure !== null || this.#isBeatDue
  }

  #charge(key: string, period: number, credits: number): void {
    const name = `${period} ${key}`
    const before = this.#charges.get(name)?.credits ?? 0
    this.#charges.set(name, { key, period, credits: before + credits })
  }

  #wake(delayMs: number): void {
    if (this.#isClosed || this.#commit.running !== null) return
    const dueAt = performance.now() + delayMs
    if (this.#timer !== null) {
      if (this.#timer.dueAt <= dueAt) return
      clearTimeout(this.#timer.handle)
    }
    const handle = setTimeout(() => {
      this.#timer = null
      void this.#commit() // never rejects
    }, delayMs)
    this.#timer = { handle, dueAt }
  }

  async #doCommit(): Promise<void> {
    const unsure = this.#unsure
    const taken = unsure ?? this.#take()
    this.#unsure = null
    if (unsure === null) this.#taken = taken.batch
    let stall: NodeJS.Timeout | undefined
    let isOver = false
    const watch = (): void => {
      if (isOver) return
      stall = setTimeout(() => {
        this.#isStalled = true
        this.#setProblem(NO_ANSWER)
      }, this.#timing.stallMs)
    }
    try {
      const opening = this.#open()
      void this.#started.promise.then(watch) // never rejects
      await opening // before a look at the sums, which waits for the same
      const answered = this.#call('commit', taken.batch)
      this.#taken = null
      const { pages, hasOthers, ...losses } = await answered
      this.#setOthers(hasOthers)
      for (const [id, name] of taken.batch.names) this.#known.set(id, name)
      this.#mend()
      this.#tellLosses(losses)
      this.#options.onPages(pages)
      const byKey = new Map(pages.map((page) => [page.key, page]))
      for (const [key, { resolve, reject }] of taken.asks) {
        const news = byKey.get(key)
        if (news === undefined) reject(new Error('the book says nothing of the key'))
        else resolve(news)
      }
    } catch (cause) {
      // Unsure, with its number, until it is known to be written.
      const isUnsure = cause instanceof BookFailed && cause.failure.isUnsure
      if (isUnsure || unsure !== null)
        this.#unsure = { batch: { ...taken.batch, asks: [] }, asks: new Map() }
      else this.#putBack(taken)
      this.#fail(cause)
      for (const { reject } of taken.asks.values()) reject(cause)
    } finally {
      isOver = true
      this.#taken = null
      clearTimeout(stall)
      this.#isStalled = false
    }
  }

  #take(): Taken {
    const now = this.#now()
    const { isKept, retentionDays } = this.#options.settings()
    const asks = new Map(this.#asks)
    this.#isBeatDue = false
    const batch: BookBatch = {
      seq: this.#seq++,
      now,
      isKept,
      rows: this.#rows,
      sums: this.#sums,
      names: [...this.#names],
      charges: [...this.#charges.values()],
      asks: [...asks.values()].map(({ ask }) => ask),
      prices: [...this.#prices.values()],
      audit: this.#audit,
      pruneBefore: now - retentionDays * DAY_MS
    }
    this.#rows = []
    this.#sums = []
    this.#audit = []
    this.#names = new Map()
    this.#charges.clear()
    this.#asks.clear()
    this.#prices.clear()
    return { batch, asks }
  }

  #putBack({ batch }: Taken): void {
    this.#rows = [...batch.rows, ...this.#rows]
    this.#audit = [...batch.audit, ...this.#audit]
    this.#audit.splice(0, this.#audit.length - MAX_WAITING_AUDIT)
    this.#sums = sumsOfDays([], [...batch.sums, ...this.#sums])
    this.#names = new Map([...batch.names, ...this.#names])
    for (const { key, period, credits } of batch.charges) this.#charge(key, period, credits)
    for (const price of batch.prices) {
      const name = `${price.size} ${price.model}`
      if (!this.#prices.has(name)) this.#prices.set(name, price)
    }
    const over = this.#rows.length - MAX_WAITING_ROWS
    if (over > 0) this.#sums = sumsOfDays(this.#rows.splice(0, over), this.#sums)
  }

  #open(): Promise<void> {
    if (this.#isOpen && this.#openOnce.running === null) return Promise.resolve()
    return this.#openOnce()
  }

  async #openAnew(): Promise<void> {
    this.#thread ??= this.#startThread()
    const { stateDir, periods, settings } = this.#options
    const opening: BookOpening = {
      path: usagePath(stateDir),
      now: this.#now(),
      run: { id: this.run, mark: markOf(process.pid) },
      isKept: settings().isKept,
      periods: periods(),
      damagedFile: this.#damagedFile
    }
    const opened = await this.#call('open', opening)
    this.#isOpen = true
    this.#isUpgrading = false
    this.#onOpened(opened)
  }

  #onOpened({ prices, setAside, hasOthers, ...losses }: BookOpened): void {
    this.#damagedFile = null
    this.#setOthers(hasOthers)
    this.#openedAt ??= performance.now()
    this.#beat ??= setInterval(() => {
      this.#isBeatDue = true
      this.#wake(0)
    }, this.#timing.beatMs).unref()
    if (setAside !== null) {
      const message =
        'usage.db was damaged and has been moved away. Keys with limits are refused until the file is restored or `kiro-gateway key reopen` sets their usage'
      this.#options.log.error({ setAside }, message)
      this.#names = new Map([...this.#known, ...this.#names]) // the new file has none
    }
    this.#tellLosses(losses)
    this.#options.onOpened(prices)
    if (this.#commit.running === null) this.#mend() // otherwise the commit says whether it can be written
  }

  /** @throws {Error} while ended threads have not gone: the disk stands still for them, too */
  #startThread(): BookThread {
    if (this.#ending.size >= MAX_ENDING) throw new Error(NO_ANSWER)
    const thread = (this.#options.startThread ?? startThread)()
    this.#started = Promise.withResolvers()
    thread.on('message', (message: FromBook) => this.#onMessage(message))
    const onGone = (cause: unknown): void => {
      const message = cause instanceof Error ? cause.message : 'the usage thread has ended'
      if (this.#thread === thread && this.#problem === null) {
        const { log } = this.#options
        log.error({ reason: message }, 'the thread of the account book has ended; it starts anew')
      }
      this.#leaveThread(thread, message)
    }
    thread.on('error', onGone)
    thread.on('exit', (code) => {
      onGone(code)
      this.#ending.delete(thread)
    })
    thread.unref()
    return thread
  }

  /** Ends a thread without waiting, as that may take as long as the disk. Its messages may be executed, or not. */
  #leaveThread(thread: BookThread, message: string): void {
    if (this.#thread === thread) {
      this.#thread = null
      this.#isOpen = false
      this.#isUpgrading = false
      this.#started.resolve()
      this.#ending.add(thread)
      void thread.terminate()
    }
    const failure = { errcode: 0, code: '', message, damagedFile: null, isUnsure: true }
    for (const [id, pending] of this.#pending) {
      if (pending.thread !== thread) continue
      this.#forget(id)
      pending.reject(new BookFailed(failure))
    }
  }

  #onMessage(message: FromBook): void {
    if (message.type === 'started') {
      this.#started.resolve()
      return
    }
    if (message.type === 'waiting') {
      if (message.reason === 'upgrading') this.#onUpgrade()
      else this.#setProblem(LOCKED)
      return
    }
    const pending = this.#pending.get(message.id)
    this.#forget(message.id)
    if (this.#pending.size === 0) this.#thread?.unref()
    if (message.type !== 'failed') {
      pending?.resolve(message.answer)
      return
    }
    const { damagedFile } = message.reason
    pending?.reject(new BookFailed(message.reason))
    if (damagedFile === null || pending === undefined || pending.thread !== this.#thread) return
    this.#damagedFile = damagedFile
    this.#setProblem(message.reason.message)
    this.#leaveThread(pending.thread, message.reason.message)
    this.#wake(this.#timing.retryMs) // it is opened anew
  }

  /** Has time: a thread that is ended in between would begin from the start, for ever. */
  #onUpgrade(): void {
    this.#isUpgrading = true
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.watchdog)
      pending.watchdog = this.#watch(pending.thread, this.#timing.upgradeMs)
    }
  }

  #watch(thread: BookThread, ms: number): NodeJS.Timeout {
    const end = (): void => {
      this.#options.log.error({}, 'the thread of the account book does not answer and is ended')
      this.#leaveThread(thread, NO_ANSWER)
    }
    return setTimeout(end, ms).unref()
  }

  #forget(id: number): void {
    clearTimeout(this.#pending.get(id)?.watchdog)
    this.#pending.delete(id)
  }

  #call<Type extends keyof BookCalls>(
    type: Type,
    ask: BookCalls[Type]['ask']
  ): Promise<BookCalls[Type]['answer']>
  async #call(type: string, ask: unknown): Promise<unknown> {
    const thread = this.#thread
    if (thread === null) throw new Error('the book is not open')
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const id = this.#nextId++
    const watchdog = this.#watch(thread, this.#timing.hangMs)
    this.#pending.set(id, { thread, watchdog, resolve, reject })
    thread.ref() // the process does not end before it has answered
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
    thread.postMessage({ type, id, ask })
    return promise
  }

  #tellLosses({ lost, regained }: BookLosses): void {
    const tell = (all: readonly LostCredits[], message: string): void => {
      for (const { key, credits } of all) {
        const name = this.#nameOf.get(key) ?? key
        this.#options.log.warn({ key: name, credits: credits / MICROS_PER_CREDIT }, message)
      }
    }
    tell(lost, 'credits held by requests of an earlier gateway process count as used')
    tell(regained, 'credits that counted as used while this gateway was paused are reserved again')
  }

  #setOthers(hasOthers: boolean): void {
    if (hasOthers === this.#hasOthers) return
    this.#hasOthers = hasOthers
    this.#options.onChange()
  }

  #mend(): void {
    if (this.#problem === null) return
    this.#problem = null
    this.#options.log.info({}, 'usage is recorded again')
    this.#options.onChange()
  }

  #fail(cause: unknown): void {
    this.#setProblem(messageOf(cause))
  }

  #setProblem(found: string): void {
    const reason = found === NO_ANSWER && this.#isUpgrading ? UPGRADING : found
    const before = this.#problem
    if (before !== null && !isNews(reason, before)) return
    const isPassing = reason === LOCKED || reason === UPGRADING
    this.#problem = { since: before?.since ?? performance.now(), reason, isPassing }
    const path = usagePath(this.#options.stateDir)
    this.#options.log.warn(
      { path, reason },
      isPassing
        ? 'usage cannot be recorded yet: another gateway has locked the account book, or it is being upgraded'
        : 'usage cannot be recorded: is the disk full or read-only?'
    )
    this.#options.onChange()
  }

  #within(row: UsageRow): BookRow {
    const today = this.#today
    const day = Math.floor(row.at / DAY_MS)
    if (today.day !== day) {
      today.day = day
      today.clients.clear()
      today.models.clear()
    }
    const { turn, charges: _, ...recorded } = row
    const isMany = this.#rows.length >= MANY_WAITING_ROWS
    return {
      ...recorded,
      client: countedName(today.clients, row.client, MAX_CLIENTS),
      model: countedName(today.models, row.model, MAX_MODELS),
      ...(turn !== undefined &&
        !isMany && { turn: { requestId: turn.requestId, facts: factsText(turn) } })
    }
  }
}

function startThread(): BookThread {
  return new Worker(new URL('../../../workers/usage-book.ts', import.meta.url), {
    env: compileCacheOnly(),
    execArgv: [], // those of the primary may name loaders, for which this heap has no room
    resourceLimits: { maxOldGenerationSizeMb: THREAD_HEAP_MB, maxYoungGenerationSizeMb: 2 }
  })
}

/** An environment in which a thread finds code that was compiled before: that is four fifths of its start. */
export function compileCacheOnly(): NodeJS.ProcessEnv {
  const folder = getCompileCacheDir() // that of this Node, in the one that was configured
  return folder === undefined ? {} : { NODE_COMPILE_CACHE: dirname(folder) }
}

const NO_ANSWER = 'the disk does not respond'

/** A lock explains silence, and any other reason says more than a lock that was waited for. */
function isNews(reason: string, before: BookProblem): boolean {
  if (reason === LOCKED) return before.reason === NO_ANSWER
  return before.isPassing && reason !== NO_ANSWER
}

async function soon<T>(work: Promise<T>, ms: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(NO_ANSWER)), ms)
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** Excludes everything that a terminal could obey: without a list of models clients choose names. */
const RECORDED_NAME = /^[\x21-\x7e]{0,128}$/

function countedName(names: Set<string>, name: string, max: number): string {
  if (names.has(name)) return name
  if (names.size >= max || !RECORDED_NAME.test(name)) return OTHER
  names.add(name)
  return name
}

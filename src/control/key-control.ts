import type { Config } from '../config/settings.ts'
import type { AllowanceGrant } from '../ipc/allowance.ts'
import type { FromWorker } from '../ipc/messages.ts'
import {
  type KeyCredits,
  type KeyUsage,
  UNNAMED_KEYS,
  type UsageRow,
  type UsageSums
} from '../ipc/usage-row.ts'
import { type KnownKeys, MICROS_PER_CREDIT, type NamedKey } from '../keys/key.ts'
import type { PriceLessons } from '../keys/prices.ts'
import type { SharedKeys } from '../keys/shared-keys.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import { keyAlert } from './alerts/alert.ts'
import type { AlertSender } from './alerts/alert-control.ts'
import { AllowanceControl } from './allowances/allowance-control.ts'
import type { PageNews } from './book/book-messages.ts'
import { UsageBook } from './book/usage-book.ts'
import { DAY_MS, NOTHING_USED } from './book/usage-sums.ts'
import { KeyFileWatch } from './keys/key-file-watch.ts'
import { SharedPrices } from './keys/shared-prices.ts'
import { KeyCounts } from './usage/key-counts.ts'
import type { WorkerChannel } from './workers/worker-channel.ts'

type KeyMessage = Extract<
  FromWorker,
  { readonly type: 'allowance.reports' | 'usage.rows' | 'price.lessons' }
>

interface Teller {
  readonly channel: Pick<WorkerChannel, 'member'>
  /** True for a worker that has died, and whose holdings have been counted. */
  readonly isGone: boolean
}

export interface KeyControlOptions {
  readonly stateDir: string
  readonly config: () => Pick<Config, 'usage'>
  readonly log: Logger
  readonly sendGrants: (member: string, grants: readonly AllowanceGrant[]) => void
  readonly alerts: Pick<AlertSender, 'raise' | 'isWanted'>
  /** Collects reports of all workers. Never rejects. */
  readonly collect: () => Promise<void>
  readonly onRows: (rows: readonly UsageRow[]) => void
  readonly onLost: (requests: number) => void
  readonly onBook: () => void
  readonly onChange: (knownKeys: KnownKeys) => void
  readonly tellPrice: (lessons: PriceLessons) => void
}

const MAX_NAMED = 5

export class KeyControl {
  readonly #options: KeyControlOptions
  /** Kept here, as what keys have used is most of it. */
  readonly book: UsageBook
  readonly allowances: AllowanceControl
  readonly #prices: SharedPrices
  readonly #keyFile: KeyFileWatch
  /** Requests begun in a worker without a row yet. Bounded by the workers. */
  readonly #begun = new Map<string, number>()
  /** Keys whose part of the book was damaged. Bounded by the keys that there are. */
  readonly #closed = new Set<string>()
  /** Bounded by the file of keys. */
  #byId: ReadonlyMap<string, NamedKey> = new Map()
  readonly #counts = new KeyCounts()
  #heard: Promise<void> | null = null
  /** `performance.now()`, like `#sumsDueAt`. */
  #heardAt = 0
  #sums: Promise<RecentSums> | null = null
  #sumsDueAt = 0
  /** When the sums are read again if there are rows that they lack. `performance.now()`. */
  #newSumsDueAt = 0
  #hasNewRows = false

  constructor(options: KeyControlOptions) {
    const { stateDir, config, log, sendGrants, onChange } = options
    this.#options = options
    this.book = new UsageBook({
      stateDir,
      settings: () => config().usage,
      log,
      periods: () => this.allowances.periods(),
      onOpened: (prices) => this.#prices.adopt(prices),
      onPages: (pages) => this.#onPages(pages),
      onChange: () => {
        this.allowances.onBook()
        options.onBook()
      }
    })
    this.#prices = new SharedPrices({
      tell: options.tellPrice,
      keep: (lessons) => this.book.keepPrices(lessons)
    })
    this.allowances = new AllowanceControl({ book: this.book, send: sendGrants })
    this.#keyFile = new KeyFileWatch({
      stateDir,
      log,
      onChange: (knownKeys) => {
        this.#setKeys(knownKeys.keys) // before a worker can ask for them
        onChange(knownKeys)
        if (options.alerts.isWanted) this.#lookAtLimits(this.#byId.keys())
      }
    })
  }

  get knownKeys(): KnownKeys {
    return this.#keyFile.knownKeys
  }

  get bookProblem(): string | null {
    const { problem } = this.book
    if (problem?.isPassing === true) {
      return `Usage cannot be recorded yet (usage.db: ${problem.reason}). Keys with a credit limit may be refused until then; all others are served.`
    }
    if (problem !== null) {
      return `Usage cannot be recorded (usage.db: ${problem.reason}). Keys with a credit limit are refused after a minute; all others are served. Check whether the disk is full or read-only.`
    }
    const closed = this.knownKeys.keys.filter(
      ({ id, credits, revokedAt }) => credits !== null && revokedAt === null && this.#closed.has(id)
    )
    if (closed.length === 0) return null
    const names = closed.slice(0, MAX_NAMED).map(({ name }) => JSON.stringify(name))
    const more = closed.length > names.length ? ` and ${closed.length - names.length} more` : ''
    return `usage.db was damaged, and the usage of these keys is unknown: ${names.join(', ')}${more}. They are refused until you restore the file or set their usage: kiro-gateway key reopen NAME --used CREDITS.`
  }

  /** @throws {GatewayError} GW_CONFIG_INVALID for an unusable file of keys */
  async start(): Promise<void> {
    await this.#keyFile.start()
    this.#setKeys(this.knownKeys.keys)
    if (this.knownKeys.keys.every(({ credits }) => credits === null)) return
    await this.book.start() // what the keys have used is known before a worker asks
  }

  look(): Promise<boolean> {
    return this.#keyFile.look()
  }

  applyEnds(shared: SharedKeys): void {
    this.#keyFile.applyEnds(shared)
  }

  prices(): readonly PriceLessons[] {
    return this.#prices.all()
  }

  onMessage(message: KeyMessage, { channel, isGone }: Teller): void {
    const { member } = channel
    switch (message.type) {
      case 'allowance.reports':
        if (!isGone) this.allowances.onReports(member, message.reports)
        break
      case 'usage.rows':
        if (isGone) break // what its rows would have said was counted as lost
        this.#begun.set(
          member,
          (this.#begun.get(member) ?? 0) + message.begun - message.rows.length
        )
        this.allowances.onRows(member, message.rows)
        this.#onRows(message.rows)
        break
      case 'price.lessons':
        this.#prices.onLessons(message.lessons)
        break
    }
  }

  /** All credits that the worker held count as used, since their use is unknown. */
  onLeft(member: string, worker: number): void {
    const lost = this.allowances.onLeft(member)
    for (const { key, credits } of lost) {
      this.#options.log.warn(
        { workerId: worker, key: this.nameOf(key), credits: credits / MICROS_PER_CREDIT },
        'credits held by a dead worker count as used'
      )
    }
    this.#onRows(lost)
    const requests = this.#begun.get(member) ?? 0
    this.#begun.delete(member)
    if (requests <= 0) return
    this.#options.log.warn({ workerId: worker, requests }, 'requests lost with their worker')
    this.#options.onLost(requests)
  }

  /** Epoch ms of a key's last request since the start; `null` without one. */
  seenAt(key: string): number | null {
    return this.#counts.seenAt(key)
  }

  /** Resolves with the file of the account book, for a thread that searches it; `null` without one. */
  async usageFile(): Promise<string | null> {
    await this.#hearWorkers()
    return this.book.fileToRead()
  }

  /** Sets what keys have used; `noteMetrics()` sets their limits, too. */
  noteCounts(metrics: Metrics): void {
    const { keys, isKeyRequired } = this.knownKeys
    if (!isKeyRequired) return
    const names = new Map(keys.map(({ id, name }) => [id, name]))
    this.#counts.note(metrics, (id) => names.get(id) ?? id)
  }

  noteMetrics(metrics: Metrics): void {
    const { keys, isKeyRequired } = this.knownKeys
    if (!isKeyRequired) return
    this.noteCounts(metrics)
    const { keyLimit, keyUsed, keyReserved } = metrics
    for (const gauge of [keyLimit, keyUsed, keyReserved]) gauge.reset()
    for (const one of keys) {
      const credits = this.creditsOf(one)
      if (credits === null || one.revokedAt !== null) continue
      const key = one.name
      keyLimit.set({ key }, credits.limit / MICROS_PER_CREDIT)
      keyUsed.set({ key }, credits.used / MICROS_PER_CREDIT)
      keyReserved.set({ key }, credits.reserved / MICROS_PER_CREDIT)
    }
  }

  nameOf(key: string): string {
    return this.#byId.get(key)?.name ?? key
  }

  async close(): Promise<void> {
    this.#keyFile.close()
    this.#prices.close()
    await this.book.close()
    this.allowances.close()
  }

  #onPages(pages: readonly PageNews[]): void {
    this.allowances.onPages(pages)
    const before = this.#closed.size
    for (const { key, isClosed } of pages) {
      if (isClosed) this.#closed.add(key)
      else this.#closed.delete(key)
    }
    if (this.#closed.size !== before) this.#options.onBook()
  }

  #onRows(rows: readonly UsageRow[]): void {
    if (rows.length === 0) return
    this.book.record(rows)
    this.#hasNewRows = true
    this.#options.onRows(rows)
    this.#counts.add(rows)
    if (this.#options.alerts.isWanted)
      this.#lookAtLimits(
        rows.map(({ key }) => key),
        rows
      )
  }

  /** Collects workers' reports at most ten times a second: it costs each worker some milliseconds. */
  #hearWorkers(): Promise<void> {
    const now = performance.now()
    if (this.#heard === null || now - this.#heardAt >= HEAR_MS) {
      this.#heardAt = now
      this.#heard = this.#options.collect()
    }
    return this.#heard
  }

  /** Resolves with the usage of one key, or of all, with what workers have not told yet. Never rejects. */
  async usageOf(key: string | null): Promise<readonly KeyUsage[]> {
    await this.#hearWorkers()
    const { today, month } = await this.#recentSums()
    const one = this.#byId.get(key ?? '')
    const named =
      key === null
        ? this.knownKeys.keys.filter(({ id, revokedAt }) => revokedAt === null || month?.has(id))
        : [one].filter((known) => known !== undefined)
    const unnamed = UNNAMED_KEYS.filter((id) => key === null && month?.has(id) === true)
    return [
      ...named.map((known) => ({ id: known.id, name: known.name, credits: this.creditsOf(known) })),
      ...unnamed.map((id) => ({ id, name: id, credits: null }))
    ].map((status) => ({
      ...status,
      today: today === null ? null : (today.get(status.id) ?? NOTHING_USED),
      last30Days: month === null ? null : (month.get(status.id) ?? NOTHING_USED)
    }))
  }

  /** Shared by all callers within a second or until rows arrive, but pauses between readings: they hold up the book's thread. */
  #recentSums(): Promise<RecentSums> {
    const dueAt = this.#hasNewRows ? this.#newSumsDueAt : this.#sumsDueAt
    if (this.#sums === null || performance.now() >= dueAt) this.#sums = this.#readSums()
    return this.#sums
  }

  async #readSums(): Promise<RecentSums> {
    this.#sumsDueAt = Infinity
    this.#newSumsDueAt = Infinity
    this.#hasNewRows = false
    const began = performance.now()
    const now = Date.now()
    // Requested together, so nothing is written in between.
    const [today, month] = await Promise.all([
      this.book.sums(now),
      this.book.sums(now - 29 * DAY_MS)
    ])
    this.#newSumsDueAt = began + (performance.now() - began) * REST
    this.#sumsDueAt = Math.max(began + FRESH_MS, this.#newSumsDueAt)
    return { today, month }
  }

  #setKeys(keys: readonly NamedKey[]): void {
    this.#byId = new Map(keys.map((key) => [key.id, key]))
    this.allowances.setKeys(keys)
    this.book.setKeys(keys)
    const known: ReadonlySet<string> = new Set([...UNNAMED_KEYS, ...keys.map(({ id }) => id)])
    this.#counts.keep((key) => known.has(key))
  }

  #lookAtLimits(ids: Iterable<string>, rows: readonly UsageRow[] = []): void {
    for (const id of new Set(ids)) {
      const key = this.#byId.get(id)
      if (key === undefined) continue
      const credits = this.creditsOf(key)
      const isRefused = rows.some((row) => row.key === id && row.code === 'GW_KEY_LIMIT')
      if (credits !== null) this.#options.alerts.raise(keyAlert(key, credits, isRefused))
    }
  }

  creditsOf({ id, credits }: NamedKey): KeyCredits | null {
    const status = this.allowances.creditsOf(id)
    return status === null || credits === null ? null : { ...status, period: credits.period }
  }
}

const HEAR_MS = 100
/** Shortest interval between readings of sums without new rows, and of all as a multiple of the time that reading takes. */
const FRESH_MS = 1_000
const REST = 50

interface RecentSums {
  readonly today: ReadonlyMap<string, UsageSums> | null
  readonly month: ReadonlyMap<string, UsageSums> | null
}

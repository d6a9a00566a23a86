import type { Config } from '../config/settings.ts'
import type { AllowanceTerms } from '../ipc/allowance.ts'
import type { FromWorker } from '../ipc/messages.ts'
import type { KeyCredits, KeyUsage, UnnamedKey, UsageRow, UsageSums } from '../ipc/usage-row.ts'
import { type KeyBook, MICROS_PER_CREDIT, type NamedKey } from '../keys/key.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import { keyAlert } from './alerts/alert.ts'
import type { AlertDesk } from './alerts/alert-desk.ts'
import { AllowanceDesk } from './allowances/allowance-desk.ts'
import { AllowanceStore } from './allowances/allowance-store.ts'
import { KeyDesk } from './desks/key-desk.ts'
import { KeyCounts } from './usage/key-counts.ts'
import { DAY_MS, NOTHING_USED } from './usage/usage-database.ts'
import { UsageJournals, workerOf } from './usage/usage-journals.ts'
import { UsageRecorder } from './usage/usage-recorder.ts'
import type { WorkerLink } from './workers/worker-link.ts'

/** Those of a worker that are about keys. */
type KeyMessage = Extract<
  FromWorker,
  { readonly type: 'allowance.reports' | 'usage.rows' | 'key-usage.wanted' }
>

/** The worker that says something. */
interface Teller {
  readonly link: Pick<WorkerLink, 'member' | 'journal' | 'send'>
  /** It has died, and what it held has been counted. */
  readonly isGone: boolean
}

export interface KeyControlOptions {
  readonly stateDir: string
  readonly config: () => Pick<Config, 'usage'>
  readonly log: Logger
  readonly sendTerms: (member: string, terms: readonly AllowanceTerms[]) => void
  readonly alerts: Pick<AlertDesk, 'raise' | 'isWanted'>
  /** Has every worker tell how it stands. Never rejects. */
  readonly collect: () => Promise<void>
  /** Called with each request that is over, once. */
  readonly onRows: (rows: readonly UsageRow[]) => void
  /** Called with how many died with a worker. */
  readonly onLost: (requests: number) => void
  /** To all workers. */
  readonly onChange: (book: KeyBook) => void
}

const UNNAMED: readonly UnnamedKey[] = ['operator', 'kiro', 'anyone']

/** Everything about keys in the primary: who they are, what they may use, and what they have used. */
export class KeyControl {
  readonly #store: AllowanceStore
  readonly allowances: AllowanceDesk
  readonly #desk: KeyDesk
  readonly #recorder: UsageRecorder
  readonly #journals: UsageJournals
  readonly #counts = new KeyCounts()
  #heard: Promise<void> | null = null
  /** `performance.now()` when they were asked, like the next. */
  #heardAt = 0
  #sums: Promise<RecentSums> | null = null
  #sumsDueAt = 0
  readonly #alerts: KeyControlOptions['alerts']
  readonly #collect: KeyControlOptions['collect']
  readonly #tellRows: KeyControlOptions['onRows']

  constructor(options: KeyControlOptions) {
    const { stateDir, config, log, alerts, collect, sendTerms, onChange } = options
    this.#tellRows = options.onRows
    this.#alerts = alerts
    this.#collect = collect
    const store = new AllowanceStore({ stateDir, log })
    this.#store = store
    this.allowances = new AllowanceDesk({
      store,
      log,
      send: sendTerms,
      onLeft: (left) => {
        for (const { id } of left) store.hold(id)
        for (const one of left) void this.#journals.recover(one) // never rejects
      }
    })
    this.#desk = new KeyDesk({
      stateDir,
      log,
      onChange: (book) => {
        this.#setKeys(book.keys) // before a worker can ask for them
        onChange(book)
      }
    })
    this.#recorder = new UsageRecorder({
      stateDir,
      settings: () => config().usage,
      log,
      onRecorded: (journal, seq) => this.#journals.onRecorded(journal, seq),
      isJournal: () => {
        const ids = store.idsThere()
        return (journal) => ids.has(workerOf(journal))
      }
    })
    this.#journals = new UsageJournals({
      pathOf: (id) => store.rowsPath(id),
      recorder: this.#recorder,
      onRows: (rows) => this.#onRows(rows),
      onLost: options.onLost,
      onDone: (id) => store.release(id),
      log
    })
  }

  get book(): KeyBook {
    return this.#desk.book
  }

  /** @throws {GatewayError} GW_CONFIG_INVALID for a file of keys that cannot be used */
  async start(): Promise<void> {
    await this.#desk.start()
    await this.allowances.start()
    this.#setKeys(this.book.keys)
  }

  /** The file of keys may say something new. Never rejects. */
  look(): Promise<void> {
    return this.#desk.look()
  }

  /** Where a worker writes down what its requests hold. */
  journalPath(journal: string): string {
    return this.allowances.journalPath(journal)
  }

  /** Where it writes down what they have used. */
  rowsPath(journal: string): string {
    return this.#store.rowsPath(this.#store.journalId(journal))
  }

  onMessage(message: KeyMessage, { link, isGone }: Teller): void {
    switch (message.type) {
      case 'allowance.reports':
        if (!isGone) this.allowances.onReports(link.member, message.reports)
        break
      case 'usage.rows':
        if (!isGone) {
          // Otherwise they were found in its files.
          this.#journals.hear(this.#store.journalId(link.journal), message.from, message.rows)
        }
        break
      case 'key-usage.wanted': {
        const { requestId, key } = message
        void this.#hearWorkers() // never rejects
          .then(() => this.#usageOf(key))
          .then((keys) => link.send({ type: 'key-usage.told', requestId, keys }))
        break
      }
    }
  }

  /** A worker is gone. `journal` is what its journal was made with. */
  onLeft(member: string, journal: string): void {
    const id = this.#store.journalId(journal)
    this.#store.hold(id)
    this.#journals.leave(id, this.allowances.onLeft(member, journal))
  }

  /** Metrics by the names of keys; none where there are no keys. */
  noteMetrics(metrics: Metrics): void {
    const { keys, isKeyRequired } = this.book
    if (!isKeyRequired) return
    const names = new Map(keys.map(({ id, name }) => [id, name]))
    this.#counts.note(metrics, (id) => names.get(id) ?? id)
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

  /** What a key is called in metrics. */
  nameOf(key: string): string {
    return this.book.keys.find(({ id }) => id === key)?.name ?? key
  }

  async close(): Promise<void> {
    this.#desk.close()
    await this.#recorder.close()
    await this.allowances.close() // what the record has need not be kept any more
  }

  #onRows(rows: readonly UsageRow[]): void {
    this.#tellRows(rows)
    this.#counts.add(rows)
    if (this.#alerts.isWanted) this.#lookAtLimits(rows)
  }

  /** Has the workers tell how they stand, which costs each of them some milliseconds: ten times a second at most. */
  #hearWorkers(): Promise<void> {
    const now = performance.now()
    if (this.#heard === null || now - this.#heardAt >= HEAR_MS) {
      this.#heardAt = now
      this.#heard = this.#collect()
    }
    return this.#heard
  }

  /** How a key stands, or all that are in force or were used lately. Never rejects. */
  async #usageOf(key: string | null): Promise<readonly KeyUsage[]> {
    const { today, month } = await this.#recentSums()
    const named = this.book.keys.filter(
      ({ id, revokedAt }) => id === key || (key === null && (revokedAt === null || month?.has(id)))
    )
    const unnamed = UNNAMED.filter((id) => key === null && month?.has(id) === true)
    return [
      ...named.map((one) => ({ id: one.id, name: one.name, credits: this.creditsOf(one) })),
      ...unnamed.map((id) => ({ id, name: id, credits: null }))
    ].map((one) => ({
      ...one,
      today: today === null ? null : (today.get(one.id) ?? NOTHING_USED),
      last30Days: month === null ? null : (month.get(one.id) ?? NOTHING_USED)
    }))
  }

  /** The sums of all keys, read once for all who ask within a second: to read them holds up the event loop. */
  #recentSums(): Promise<RecentSums> {
    if (this.#sums === null || performance.now() >= this.#sumsDueAt) this.#sums = this.#readSums()
    return this.#sums
  }

  /** Never rejects. */
  async #readSums(): Promise<RecentSums> {
    this.#sumsDueAt = Infinity
    const began = performance.now()
    const now = Date.now()
    const today = await this.#recorder.sums(now)
    const month = await this.#recorder.sums(now - 29 * DAY_MS)
    this.#sumsDueAt = began + Math.max(FRESH_MS, (performance.now() - began) * REST)
    return { today, month }
  }

  #setKeys(keys: readonly NamedKey[]): void {
    this.allowances.setKeys(keys)
    this.#recorder.setKeys(keys)
    const known: ReadonlySet<string> = new Set([...UNNAMED, ...keys.map(({ id }) => id)])
    this.#counts.keep((key) => known.has(key))
  }

  /** Of keys that have just used something. */
  #lookAtLimits(rows: readonly UsageRow[]): void {
    const used = new Set(rows.map(({ key }) => key))
    for (const key of this.book.keys.filter(({ id }) => used.has(id))) {
      const credits = this.creditsOf(key)
      const isRefused = rows.some(({ key: id, code }) => id === key.id && code === 'GW_KEY_LIMIT')
      if (credits !== null) this.#alerts.raise(keyAlert(key, credits, isRefused))
    }
  }

  /** `null` without a limit of them. */
  creditsOf({ id, credits }: NamedKey): KeyCredits | null {
    const standing = this.allowances.creditsOf(id)
    return standing === null || credits === null ? null : { ...standing, period: credits.period }
  }
}

/** So long what the workers have told is new enough. */
const HEAR_MS = 100
/** Sums are read again after so long at least, */
const FRESH_MS = 1_000
/** and after so many times what reading them took. */
const REST = 50

/** By key; `null` where nothing is recorded. */
interface RecentSums {
  readonly today: ReadonlyMap<string, UsageSums> | null
  /** Of thirty days. */
  readonly month: ReadonlyMap<string, UsageSums> | null
}

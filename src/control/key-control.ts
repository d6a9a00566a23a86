import type { Config } from '../config/settings.ts'
import type { AllowanceTerms } from '../ipc/allowance.ts'
import type { FromWorker } from '../ipc/messages.ts'
import type { KeyCredits, KeyUsage, UnnamedKey, UsageRow, UsageSums } from '../ipc/usage-row.ts'
import { type KeyBook, MICROS_PER_CREDIT, type NamedKey } from '../keys/key.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import { keyAlert } from './alerts/alert.ts'
import type { AlertDesk } from './alerts/alert-desk.ts'
import { AllowanceDesk, type LostCredits } from './allowances/allowance-desk.ts'
import { AllowanceStore } from './allowances/allowance-store.ts'
import { KeyDesk } from './desks/key-desk.ts'
import { KeyCounts } from './usage/key-counts.ts'
import { DAY_MS, NOTHING_USED } from './usage/usage-database.ts'
import { UsageRecorder } from './usage/usage-recorder.ts'
import type { WorkerLink } from './workers/worker-link.ts'

/** Those of a worker that are about keys. */
type KeyMessage = Extract<
  FromWorker,
  { readonly type: 'allowance.reports' | 'usage.rows' | 'key-usage.wanted' }
>

/** The worker that says something. */
interface Teller {
  readonly link: Pick<WorkerLink, 'member' | 'send'>
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
  /** To all workers. */
  readonly onChange: (book: KeyBook) => void
}

const UNNAMED: readonly UnnamedKey[] = ['operator', 'kiro', 'anyone']

/** Everything about keys in the primary: who they are, what they may use, and what they have used. */
export class KeyControl {
  readonly #allowances: AllowanceDesk
  readonly #desk: KeyDesk
  readonly #recorder: UsageRecorder
  readonly #counts = new KeyCounts()
  /** By worker and key. Bounded by the workers, and the keys that have a limit. */
  readonly #told = new Map<string, Map<string, ToldCredits>>()
  #heard: Promise<void> | null = null
  /** `performance.now()` when they were asked, like the next. */
  #heardAt = 0
  #sums: Promise<RecentSums> | null = null
  #sumsDueAt = 0
  readonly #alerts: KeyControlOptions['alerts']
  readonly #collect: KeyControlOptions['collect']

  constructor({ stateDir, config, log, alerts, collect, sendTerms, onChange }: KeyControlOptions) {
    this.#alerts = alerts
    this.#collect = collect
    this.#allowances = new AllowanceDesk({
      store: new AllowanceStore({ stateDir, log }),
      send: sendTerms,
      onLost: (lost) => this.#onLost(lost, log)
    })
    this.#desk = new KeyDesk({
      stateDir,
      log,
      onChange: (book) => {
        this.#setKeys(book.keys) // before a worker can ask for them
        onChange(book)
      }
    })
    this.#recorder = new UsageRecorder({ stateDir, settings: () => config().usage, log })
  }

  get book(): KeyBook {
    return this.#desk.book
  }

  /** @throws {GatewayError} GW_CONFIG_INVALID for a file of keys that cannot be used */
  async start(): Promise<void> {
    await this.#desk.start()
    await this.#allowances.start()
    this.#setKeys(this.book.keys)
  }

  /** Where a worker writes down what its requests hold. */
  journalPath(journal: string): string {
    return this.#allowances.journalPath(journal)
  }

  onMessage(message: KeyMessage, { link, isGone }: Teller): void {
    switch (message.type) {
      case 'allowance.reports':
        if (!isGone) this.#allowances.onReports(link.member, message.reports)
        break
      case 'usage.rows':
        if (isGone) this.#onLateRows(message.rows)
        else this.#onRows(link.member, message.rows)
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
    this.#allowances.onLeft(member, journal)
    this.#told.delete(member)
  }

  /** Metrics by the names of keys; none where there are no keys. */
  noteMetrics(metrics: Metrics): void {
    const { keys, isKeyRequired } = this.book
    if (!isKeyRequired) return
    const names = new Map(keys.map(({ id, name }) => [id, name]))
    this.#counts.note(metrics, (id) => names.get(id) ?? id)
    metrics.keyReserved.reset()
    for (const key of keys) {
      const { reserved } = this.#creditsOf(key) ?? {}
      if (reserved !== undefined && key.revokedAt === null) {
        metrics.keyReserved.set({ key: key.name }, reserved / MICROS_PER_CREDIT)
      }
    }
  }

  async close(): Promise<void> {
    this.#desk.close()
    await Promise.all([this.#allowances.close(), this.#recorder.close()])
  }

  #onRows(member: string, rows: readonly UsageRow[]): void {
    for (const { key, credits } of rows) this.#tell(member, key, credits)
    this.#take(rows)
  }

  /** Of a worker that is gone: what it had used of a limit has been counted then. */
  #onLateRows(rows: readonly UsageRow[]): void {
    this.#take(
      rows.map((row) =>
        this.#allowances.creditsOf(row.key) === null ? row : { ...row, credits: 0 }
      )
    )
  }

  #take(rows: readonly UsageRow[]): void {
    this.#counts.add(rows)
    this.#recorder.record(rows)
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
      ...named.map((one) => ({ id: one.id, name: one.name, credits: this.#creditsOf(one) })),
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
    this.#allowances.setKeys(keys)
    this.#recorder.setKeys(keys)
    const known: ReadonlySet<string> = new Set([...UNNAMED, ...keys.map(({ id }) => id)])
    this.#counts.keep((key) => known.has(key))
  }

  /** Adds up what a worker has told of a key with a limit, in its period. */
  #tell(member: string, key: string, credits: number): void {
    const standing = this.#allowances.creditsOf(key)
    if (standing === null) return
    const { endsAt } = standing
    const told = this.#told.get(member) ?? new Map<string, ToldCredits>()
    const before = told.get(key)
    const sum = before?.endsAt === endsAt ? before.credits : 0
    this.#told.set(member, told.set(key, { endsAt, credits: sum + credits }))
  }

  /**
   * A worker is gone, and with it what it had not told: requests that were under way, for which counts what was reserved, and
   * some that were just over, which its journal has. So the record says what the limit does.
   */
  #onLost({ keyId, member, used, reserved }: LostCredits, log: Pick<Logger, 'warn'>): void {
    const told = this.#told.get(member)?.get(keyId)?.credits ?? 0
    const credits = Math.max(0, used - told) + reserved
    if (credits === 0) return
    log.warn({ keyId, credits }, 'credits of requests that died with their worker')
    this.#take([lostRow(keyId, credits)])
  }

  /** Of keys that have just used something. */
  #lookAtLimits(rows: readonly UsageRow[]): void {
    const used = new Set(rows.map(({ key }) => key))
    for (const key of this.book.keys.filter(({ id }) => used.has(id))) {
      const credits = this.#creditsOf(key)
      const isRefused = rows.some(({ key: id, code }) => id === key.id && code === 'GW_KEY_LIMIT')
      if (credits !== null) this.#alerts.raise(keyAlert(key, credits, isRefused))
    }
  }

  #creditsOf({ id, credits }: NamedKey): KeyCredits | null {
    const standing = this.#allowances.creditsOf(id)
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

/** Micro-credits that a worker has told of in a period. */
interface ToldCredits {
  readonly endsAt: number | null
  readonly credits: number
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

import type { AllowanceEntry } from '../../admission/allowance-core.ts'
import type {
  AllowanceKind,
  AllowanceName,
  AllowanceReport,
  AllowanceStanding,
  AllowanceTerms
} from '../../ipc/allowance.ts'
import { MICROS_PER_CREDIT, type NamedKey } from '../../keys/key.ts'
import { type Period, periodAt, type PeriodKind } from '../../keys/period.ts'
import type { Logger } from '../../observe/logger.ts'
import {
  type AllowanceEvent,
  type AllowanceRemains,
  type AllowanceState,
  nextAllowance,
  openAllowance,
  sumsOf
} from './allowance-ledger.ts'
import type { LeftJournal } from '../usage/usage-journals.ts'
import type { AllowanceStore, Survey } from './allowance-store.ts'
import { addCredits, type CreditSums, type SavedCredits } from './saved-credits.ts'

export interface AllowanceDeskOptions {
  readonly store: AllowanceStore
  /** Hands terms to a worker. */
  readonly send: (member: string, terms: readonly AllowanceTerms[]) => void
  /** Called with what workers of earlier runs have left, and again until it is gone: what they had reserved counts as used, too. */
  readonly onLeft: (left: readonly LeftJournal[]) => void
  readonly log: Pick<Logger, 'error'>
  /** Epoch ms. */
  readonly now?: () => number
  readonly surveyMs?: number
}

const SURVEY_FAILED =
  'what other processes have used of credits cannot be looked at: the next look is soon'

/** What a key without a limit may use, should a worker still ask. */
export const UNLIMITED = 1e15

/** Knows what other gateways of a fleet have of limits. */
export interface LimitGovernor {
  /** Asked for each limit, and again with each new limit and period. */
  awayOf(
    name: AllowanceName,
    terms: Pick<AllowanceState, 'limit' | 'period'>
  ): Pick<AllowanceState, 'away' | 'mayCome'>
  /** Something has changed. Must not call back at once. */
  onChange(name: AllowanceName): void
}

/** Keys whose credits are remembered: twice as many as there may be. */
const MAX_SAVED = 2000

/** A clock may be set at any time, which timers do not hear of. */
const LONGEST_SLEEP_MS = 30_000

/** How often is looked at what another gateway on the same folder has used. */
const SURVEY_MS = 10_000

interface OpenAllowance {
  state: AllowanceState
  period: Period
  /** So much of what is settled was used by other runs of the gateway. */
  elsewhere: number
}

/**
 * The primary's end of the allowances: a ledger for each, opened when a worker first asks for it, and what of them has
 * to outlast the processes.
 */
export class AllowanceDesk {
  readonly #options: AllowanceDeskOptions
  readonly #now: () => number
  /** By id. Bounded by the keys that there may be. */
  #keys: ReadonlyMap<string, NamedKey> = new Map()
  /** Bounded by the limits that keys have, or had when a worker asked. */
  readonly #open = new Map<AllowanceName, OpenAllowance>()
  /** Of keys that nobody has used since the start. Bounded by MAX_SAVED, or the keys that there are. */
  readonly #own: CreditSums = new Map()
  /** What other runs of the gateway have used. Bounded by the keys that there were. */
  #elsewhere: CreditSums = new Map()
  #timer: NodeJS.Timeout | null = null
  #surveys: NodeJS.Timeout | null = null
  #isSurveying = false
  #isClosed = false
  /** `null` without a fleet. Set before a worker is heard. */
  governor: LimitGovernor | null = null

  constructor(options: AllowanceDeskOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
  }

  /** Reads what earlier processes have left. Before that no worker may be heard. */
  async start(): Promise<void> {
    const survey = await this.#options.store.survey()
    this.#heed(survey)
    if (survey.hasOthers) this.#watch()
  }

  /** Where a worker keeps its journal; no other worker may have the name. */
  journalPath(worker: string): string {
    return this.#options.store.journalPath(worker)
  }

  /** The keys that there are, with their limits. */
  setKeys(keys: readonly NamedKey[]): void {
    this.#keys = new Map(keys.map((key) => [key.id, key]))
    for (const [name, one] of this.#open) this.#refresh(name, one)
  }

  onReports(member: string, reports: readonly AllowanceReport[]): void {
    const news: AllowanceTerms[] = []
    for (const report of reports) {
      const one = this.#allowanceOf(report.name)
      this.#refresh(report.name, one)
      if (!one.state.stakes.has(member)) this.#tell(one, { type: 'join', member })
      news.push(...this.#tell(one, { type: 'report', member, report }, member))
    }
    if (news.length > 0) this.#options.send(member, news)
    this.#wake()
  }

  /**
   * A process is gone, and so is everything that it held. `journal` is what its journal was made with; gives what that says,
   * where it used any credits.
   */
  onLeft(member: string, journal: string): readonly AllowanceEntry[] {
    const stakes = [...this.#open].filter(([, { state }]) => state.stakes.has(member))
    const usesCredits = stakes.some(([name]) => isCredits(name))
    const entries = usesCredits ? this.#options.store.takeJournal(journal) : null
    for (const [name, one] of stakes) {
      const isWritten = isCredits(name) && entries !== null
      const entry = entries?.find((written) => written.name === name) ?? nothingIn(one.period)
      this.#tell(one, { type: 'left', member, entry: isWritten ? entry : null })
    }
    if (usesCredits) this.#save()
    return entries ?? []
  }

  /** How a limit stands here; `null` for what is none. Opens it where nobody has asked for it yet. */
  stateOf(name: AllowanceName): AllowanceState | null {
    const { limit } = this.#termsOf(name)
    if (limit === 0 || limit === UNLIMITED) return null
    const one = this.#allowanceOf(name)
    this.#refresh(name, one)
    return one.state
  }

  /** Other gateways have so much of it. */
  setAway(name: AllowanceName, { away, mayCome }: Pick<AllowanceState, 'away' | 'mayCome'>): void {
    const one = this.#open.get(name)
    const isNews = one?.state.away !== away || one.state.mayCome !== mayCome
    if (one !== undefined && isNews) this.#tell(one, { type: 'away', away, mayCome })
  }

  /** How a key stands with its credits, as far as has been heard; `null` where it has no limit. */
  creditsOf(keyId: string): AllowanceStanding | null {
    if (this.#keys.get(keyId)?.credits == null) return null
    const one = this.#allowanceOf(`${keyId}/credits`)
    this.#refresh(one.state.name, one)
    const { limit, endsAt } = one.state
    return { limit, endsAt, ...sumsOf(one.state) }
  }

  /** Resolves when everything is on disk. */
  async close(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#surveys !== null) clearInterval(this.#surveys)
    this.#isClosed = true
    await this.#options.store.close(() => this.#sums())
  }

  #allowanceOf(name: AllowanceName): OpenAllowance {
    const known = this.#open.get(name)
    if (known !== undefined) return known
    const keyId = keyIdOf(name)
    const { limit, kind } = this.#termsOf(name)
    const own = isCredits(name) ? this.#own.get(keyId) : undefined
    const other = isCredits(name) ? this.#elsewhere.get(keyId) : undefined
    const period = periodAfter(kind, newer(own, other), this.#now())
    const { number, endsAt } = period
    const elsewhere = amountIn(other, number)
    const settled = amountIn(own, number) + elsewhere
    const away = this.governor?.awayOf(name, { limit, period: number })
    const state = openAllowance({ name, limit, period: number, endsAt, settled, ...away })
    const one = { period, elsewhere, state }
    this.#open.set(name, one)
    if (!isCredits(name)) return one
    this.#own.delete(keyId)
    this.#save()
    this.#watch()
    return one
  }

  /** Limit and period as they are now. */
  #refresh(name: AllowanceName, one: OpenAllowance): void {
    const { limit, kind } = this.#termsOf(name)
    const period = periodAt(kind ?? one.period.kind, one.period, this.#now())
    if (limit === one.state.limit && period === one.period) return
    const { number, endsAt } = period
    const isNew = number !== one.period.number
    one.period = period
    const away = this.governor?.awayOf(name, { limit, period: number }).away ?? 0
    this.#tell(one, { type: 'terms', limit, period: number, endsAt, away })
    if (!isCredits(name)) return
    if (isNew) {
      one.elsewhere = amountIn(this.#elsewhere.get(keyIdOf(name)), number)
      this.#tell(one, { type: 'used', amount: one.elsewhere })
    }
    this.#save()
  }

  #heed({ inherited, elsewhere, files, left }: Survey): void {
    this.#options.onLeft(left)
    this.#options.store.inherit(files)
    this.#elsewhere = elsewhere
    for (const [keyId, credits] of inherited) {
      if (!this.#open.has(`${keyId}/credits`)) addCredits(this.#own, keyId, credits)
    }
    for (const [name, one] of this.#open) {
      if (!isCredits(name)) continue
      const { number } = one.period
      const before = one.elsewhere
      one.elsewhere = amountIn(elsewhere.get(keyIdOf(name)), number)
      const amount = amountIn(inherited.get(keyIdOf(name)), number) + one.elsewhere - before
      if (amount !== 0) this.#tell(one, { type: 'used', amount })
    }
    for (const keyId of this.#own.keys()) {
      // A key may be missing only because its file cannot be read just now.
      if (this.#own.size <= MAX_SAVED) break
      if (!this.#keys.has(keyId)) this.#own.delete(keyId)
    }
    if (files.length > 0) this.#save()
  }

  /** Of a key that is gone, or has no limit now, what it uses is counted on as before: it may have one again. */
  #termsOf(name: AllowanceName): { readonly limit: number; readonly kind: PeriodKind | null } {
    const key = this.#keys.get(keyIdOf(name))
    if (key === undefined) return { limit: 0, kind: null }
    const { credits, requestsPerMinute, maxStreams } = key
    switch (kindOf(name)) {
      case 'credits':
        if (credits === null) return { limit: UNLIMITED, kind: null }
        return { limit: Math.round(credits.limit * MICROS_PER_CREDIT), kind: credits.period }
      case 'requests':
        return { limit: requestsPerMinute ?? UNLIMITED, kind: 'minute' }
      case 'streams':
        return { limit: maxStreams ?? UNLIMITED, kind: 'never' }
    }
  }

  /** Returns what is to be told to `member`; the others are told. */
  #tell(one: OpenAllowance, event: AllowanceEvent, member?: string): readonly AllowanceTerms[] {
    const { state, terms } = nextAllowance(one.state, event)
    one.state = state
    const held: AllowanceTerms[] = []
    for (const [other, news] of terms) {
      if (other === member) held.push(news)
      else this.#options.send(other, [news])
    }
    this.governor?.onChange(state.name)
    return held
  }

  #save(): void {
    this.#options.store.save(() => this.#sums())
  }

  /** What this run has used, and what it has inherited. */
  #sums(): CreditSums {
    const sums: CreditSums = new Map(this.#own)
    for (const [name, { period, state, elsewhere }] of this.#open) {
      if (!isCredits(name)) continue
      sums.set(keyIdOf(name), { period, settled: state.settled - elsewhere })
    }
    return sums
  }

  /** Another gateway may use the same folder; and a run that has ended may be known to have only later. */
  #watch(): void {
    if (this.#surveys !== null || this.#isClosed) return
    this.#surveys = setInterval(() => void this.#survey(), this.#options.surveyMs ?? SURVEY_MS) // cannot reject
    this.#surveys.unref()
  }

  async #survey(): Promise<void> {
    if (this.#isSurveying) return // a slow disk
    this.#isSurveying = true
    try {
      const survey = await this.#options.store.survey()
      if (!this.#isClosed) this.#heed(survey)
    } catch (err) {
      this.#options.log.error({ err }, SURVEY_FAILED)
    } finally {
      this.#isSurveying = false
    }
  }

  /** Has periods end in time: workers hold leases of them. */
  #wake(): void {
    if (this.#timer !== null || this.#open.size === 0) return
    let next = this.#now() + LONGEST_SLEEP_MS
    for (const { period } of this.#open.values()) next = Math.min(next, period.endsAt ?? next)
    this.#timer = setTimeout(
      () => {
        this.#timer = null
        for (const [name, one] of this.#open) this.#refresh(name, one)
        this.#wake()
      },
      Math.max(1, next - this.#now())
    )
    this.#timer.unref()
  }
}

function periodAfter(
  kind: PeriodKind | null,
  saved: SavedCredits | undefined,
  now: number
): Period {
  const { number = 0, startsAt, endsAt, kind: savedKind } = saved?.period ?? {}
  if (savedKind !== undefined && startsAt !== undefined && endsAt !== undefined) {
    return periodAt(kind ?? savedKind, { kind: savedKind, number, startsAt, endsAt }, now)
  }
  const period = periodAt(kind ?? 'never', null, now)
  return { ...period, number: Math.max(period.number, number) }
}

function newer(
  one: SavedCredits | undefined,
  other: SavedCredits | undefined
): SavedCredits | undefined {
  if (one === undefined || other === undefined) return one ?? other
  return other.period.number > one.period.number ? other : one
}

/** Micro-credits that were used in a certain period. */
function amountIn(credits: SavedCredits | undefined, number: number): number {
  return credits?.period.number === number ? credits.settled : 0
}

function nothingIn({ number }: Period): AllowanceRemains {
  return { period: number, used: 0, reserved: 0 }
}

function isCredits(name: AllowanceName): boolean {
  return name.endsWith('/credits')
}

function keyIdOf(name: AllowanceName): string {
  return name.slice(0, name.indexOf('/'))
}

function kindOf(name: AllowanceName): AllowanceKind {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- by the type of the name
  return name.slice(name.lastIndexOf('/') + 1) as AllowanceKind
}

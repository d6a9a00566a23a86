import { join } from 'node:path'
import type {
  AllowanceKind,
  AllowanceName,
  AllowanceReport,
  AllowanceStanding,
  AllowanceTerms
} from '../../ipc/allowance.ts'
import { MICROS_PER_CREDIT, type NamedKey } from '../../keys/key.ts'
import { type Period, periodAt, type PeriodKind } from '../../keys/period.ts'
import {
  type AllowanceEvent,
  type AllowanceRemains,
  type AllowanceState,
  nextAllowance,
  openAllowance,
  sumsOf
} from './allowance-ledger.ts'
import type { AllowanceStore, SavedCredits } from './allowance-store.ts'

export interface AllowanceDeskOptions {
  readonly store: AllowanceStore
  /** Hands terms to a worker. */
  readonly send: (member: string, terms: readonly AllowanceTerms[]) => void
  /** Called with what a worker that died had reserved: it counts as used, for want of something better. */
  readonly onLost: (lost: LostCredits) => void
  /** Epoch ms. */
  readonly now?: () => number
}

export interface LostCredits {
  readonly keyId: string
  /** Micro-credits. */
  readonly reserved: number
}

/** What a key without a limit may use, should a worker still ask. */
const UNLIMITED = 1e15

/** Keys whose credits are remembered: twice as many as there may be. */
const MAX_SAVED = 2000

/** A clock may be set at any time, and timers do not hear of that. */
const LONGEST_SLEEP_MS = 30_000

interface OpenAllowance {
  state: AllowanceState
  period: Period
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
  /** Of keys that nobody has used since the start. Bounded by the keys that there were. */
  readonly #saved = new Map<string, SavedCredits>()
  #timer: NodeJS.Timeout | null = null

  constructor(options: AllowanceDeskOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
  }

  /** Reads what earlier processes have left. Before that no worker may be heard. */
  async start(): Promise<void> {
    const saved = await this.#options.store.load()
    for (const [keyId, credits] of saved) this.#saved.set(keyId, credits)
    if (saved.size > 0) this.#save()
  }

  /** Where a worker keeps its journal, by the journal's name. */
  journalPath(name: string): string {
    return join(this.#options.store.folder, name)
  }

  /** The keys that there are, with their limits. */
  setKeys(keys: readonly NamedKey[]): void {
    this.#keys = new Map(keys.map((key) => [key.id, key]))
    for (const [name, one] of this.#open) {
      if (this.#keys.has(keyIdOf(name)) || one.state.stakes.size > 0) this.#refresh(name, one)
      else this.#open.delete(name)
    }
    for (const keyId of this.#saved.keys()) {
      // A key may be missing only because its file cannot be read just now.
      if (this.#saved.size <= MAX_SAVED) break
      if (!this.#keys.has(keyId)) this.#saved.delete(keyId)
    }
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

  /** A process is gone, and so is everything that it held. `journal` is the name of its journal. */
  onLeft(member: string, journal: string): void {
    const stakes = [...this.#open].filter(([, { state }]) => state.stakes.has(member))
    const usesCredits = stakes.some(([name]) => isCredits(name))
    const entries = usesCredits ? this.#options.store.takeJournal(journal) : null
    for (const [name, one] of stakes) {
      const isWritten = isCredits(name) && entries !== null
      const entry = entries?.find((written) => written.name === name) ?? nothingIn(one.period)
      this.#tell(one, { type: 'left', member, entry: isWritten ? entry : null })
      if (isWritten && entry.reserved > 0) {
        this.#options.onLost({ keyId: keyIdOf(name), reserved: entry.reserved })
      }
    }
    if (usesCredits) this.#save()
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
    this.#timer = null
    await this.#options.store.close()
  }

  #allowanceOf(name: AllowanceName): OpenAllowance {
    const known = this.#open.get(name)
    if (known !== undefined) return known
    const { limit, kind } = this.#termsOf(name)
    const saved = isCredits(name) ? (this.#saved.get(keyIdOf(name)) ?? null) : null
    const period = periodAfter(kind, saved, this.#now())
    const settled = saved?.period.number === period.number ? saved.settled : 0
    const { number, endsAt } = period
    const one = { period, state: openAllowance({ name, limit, period: number, endsAt, settled }) }
    this.#open.set(name, one)
    if (isCredits(name)) this.#save()
    return one
  }

  /** Limit and period as they are now. */
  #refresh(name: AllowanceName, one: OpenAllowance): void {
    const { limit, kind } = this.#termsOf(name)
    const period = periodAt(kind, one.period, this.#now())
    if (limit === one.state.limit && period === one.period) return
    const { number, endsAt } = period
    one.period = period
    this.#tell(one, { type: 'terms', limit, period: number, endsAt })
    if (isCredits(name)) this.#save()
  }

  #termsOf(name: AllowanceName): { readonly limit: number; readonly kind: PeriodKind } {
    const key = this.#keys.get(keyIdOf(name))
    if (key === undefined) return { limit: 0, kind: 'never' }
    const { credits, requestsPerMinute, maxStreams } = key
    switch (kindOf(name)) {
      case 'credits':
        if (credits === null) return { limit: UNLIMITED, kind: 'total' }
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
    return held
  }

  #save(): void {
    this.#options.store.save(() => {
      const credits = new Map(this.#saved)
      for (const [name, { period, state }] of this.#open) {
        if (isCredits(name)) credits.set(keyIdOf(name), { period, settled: state.settled })
      }
      return credits
    })
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

function periodAfter(kind: PeriodKind, saved: SavedCredits | null, now: number): Period {
  if (saved === null) return periodAt(kind, null, now)
  const { kind: savedKind, number, startsAt, endsAt } = saved.period
  if (savedKind !== undefined && startsAt !== undefined && endsAt !== undefined) {
    return periodAt(kind, { kind: savedKind, number, startsAt, endsAt }, now)
  }
  const period = periodAt(kind, null, now)
  return { ...period, number: Math.max(period.number, number) }
}

function nothingIn({ number }: Period): AllowanceRemains {
  return { period: number, used: 0, reserved: 0 }
}

function isCredits(name: AllowanceName): boolean {
  return name.endsWith('/credits')
}

function keyIdOf(name: AllowanceName): string {
  return name.slice(0, name.lastIndexOf('/'))
}

function kindOf(name: AllowanceName): AllowanceKind {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- by the type of the name
  return name.slice(name.lastIndexOf('/') + 1) as AllowanceKind
}

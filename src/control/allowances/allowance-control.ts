import type {
  AllowanceKind,
  AllowanceName,
  AllowanceReport,
  AllowanceStatus,
  AllowanceGrant
} from '../../ipc/allowance.ts'
import type { UsageRow } from '../../ipc/usage-row.ts'
import { MICROS_PER_CREDIT, type NamedKey } from '../../keys/key.ts'
import { type Period, periodAt, type PeriodKind } from '../../keys/period.ts'
import type { BookOpening, PageNews } from '../book/book-messages.ts'
import { lostRow } from '../book/usage-sums.ts'
import {
  type AllowanceEvent,
  type AllowanceState,
  heldBy,
  nextAllowance,
  NOTHING_ELSEWHERE,
  openAllowance,
  sumsOf
} from './allowance-ledger.ts'
import { CreditLease, type CreditLeaseOptions } from './credit-lease.ts'

export interface AllowanceControlOptions {
  readonly book: CreditLeaseOptions['book']
  readonly send: (member: string, grants: readonly AllowanceGrant[]) => void
  /** Epoch ms. */
  readonly now?: () => number
}

export const UNLIMITED = 1e15

export interface LimitGovernor {
  /** Asked for each limit, and again after a change of limit or period. */
  awayOf(
    name: AllowanceName,
    grant: Pick<AllowanceState, 'limit' | 'period'>
  ): Pick<AllowanceState, 'away' | 'mayCome'>
  onChange(name: AllowanceName): void
}

/** Timers do not notice a clock that is set. */
const LONGEST_SLEEP_MS = 30_000

interface OpenAllowance {
  state: AllowanceState
  period: Period
  fleet: Pick<AllowanceState, 'away' | 'mayCome'>
  /** `null` for what is not in the account book. */
  readonly lease: CreditLease | null
}

interface Charged {
  readonly period: number
  readonly credits: number
}

/** The primary's ledgers of allowances, and the leases of credits in the account book that they deal out. */
export class AllowanceControl {
  readonly #options: AllowanceControlOptions
  readonly #now: () => number
  /** Keys by id. Bounded by the keys that there may be. */
  #keys: ReadonlyMap<string, NamedKey> = new Map()
  /** Bounded by the limits that keys have, or had when a worker asked, and the models that are listed. */
  readonly #open = new Map<AllowanceName, OpenAllowance>()
  /** Charges by worker and key. Bounded by the workers that run and the keys that they have served. */
  readonly #charged = new Map<string, Map<string, Charged>>()
  /** Leases to look at. Bounded by the keys. */
  readonly #changed = new Set<AllowanceName>()
  #timer: NodeJS.Timeout | null = null
  #isClosed = false
  /** `null` without a fleet. Set before a worker is heard. */
  governor: LimitGovernor | null = null

  constructor(options: AllowanceControlOptions) {
    this.#options = options
    this.#now = options.now ?? (() => Date.now())
  }

  setKeys(keys: readonly NamedKey[]): void {
    this.#keys = new Map(keys.map((key) => [key.id, key]))
    for (const { id, credits } of keys) if (credits !== null) this.#allowanceOf(`${id}/credits`)
    for (const [name, one] of this.#open) {
      this.#refresh(name, one)
      this.#look(name)
    }
  }

  periods(): BookOpening['periods'] {
    return [...this.#keys.values()].flatMap(({ id, credits }) =>
      credits === null ? [] : [{ key: id, period: periodAt(credits.period, null, this.#now()) }]
    )
  }

  onReports(member: string, reports: readonly AllowanceReport[]): void {
    const news: AllowanceGrant[] = []
    for (const report of reports) {
      const one = this.#allowanceOf(report.name)
      this.#refresh(report.name, one)
      if (!one.state.holdings.has(member)) this.#tell(one, { type: 'join', member })
      news.push(...this.#tell(one, { type: 'report', member, report }, member))
    }
    if (news.length > 0) this.#options.send(member, news)
    this.#wake()
  }

  /** Notes what rows charge, so that after a worker's death the rest is known. */
  onRows(member: string, rows: readonly UsageRow[]): void {
    for (const { key, charges = [] } of rows) {
      const keys = this.#charged.get(member) ?? new Map<string, Charged>()
      for (const { period, credits } of charges) {
        const before = keys.get(key)
        const sum = before?.period === period ? before.credits : 0
        if (before === undefined || before.period <= period)
          keys.set(key, { period, credits: sum + credits })
      }
      if (keys.size > 0) this.#charged.set(member, keys)
    }
  }

  /** Returns rows for the credits that a dead worker held and no row accounts for: they count as used. */
  onLeft(member: string): readonly UsageRow[] {
    const charged = this.#charged.get(member)
    this.#charged.delete(member)
    const lost: UsageRow[] = []
    for (const [name, one] of this.#open) {
      const holding = one.state.holdings.get(member)
      if (holding === undefined) continue
      const key = keyIdOf(name)
      const { period } = one.state
      const told = isCredits(name) ? charged?.get(key) : undefined
      const used = told?.period === period ? told.credits : 0
      const credits = isCredits(name) ? heldBy(holding) - used : 0
      if (credits > 0)
        lost.push({ ...lostRow(key, credits, this.#now()), charges: [{ period, credits }] })
      this.#tell(one, { type: 'left', member, used })
    }
    return lost
  }

  onPages(pages: readonly PageNews[]): void {
    for (const page of pages) {
      const name: AllowanceName = `${page.key}/credits`
      const one = this.#open.get(name)
      if (one === undefined) continue
      if (page.period.number > one.period.number) {
        one.period = page.period
        this.#begin(name, one)
        this.#refresh(name, one)
      }
      if (page.period.number === one.period.number) one.lease?.onPage(page)
    }
  }

  /** The book became writable, or not, or other gateways use it. */
  onBook(): void {
    for (const [name, { lease }] of this.#open) {
      if (lease === null) continue
      this.#onLease(name)
      this.#look(name)
    }
  }

  /** State for the other gateways of a fleet; `null` if unknown. */
  stateOf(name: AllowanceName): AllowanceState | null {
    const { limit } = this.#grantOf(name)
    if (limit === 0 || limit === UNLIMITED) return null
    const one = this.#allowanceOf(name)
    this.#refresh(name, one)
    if (one.lease === null) return one.state
    // Credits not leased from the book are as good as free.
    return {
      ...one.state,
      ...one.fleet,
      settled: one.state.settled + one.lease.others,
      elsewhere: NOTHING_ELSEWHERE
    }
  }

  setAway(name: AllowanceName, fleet: Pick<AllowanceState, 'away' | 'mayCome'>): void {
    const one = this.#open.get(name)
    if (one === undefined) return
    if (one.fleet.away === fleet.away && one.fleet.mayCome === fleet.mayCome) return
    one.fleet = fleet
    if (one.lease === null) this.#tell(one, { type: 'away', ...fleet })
    else this.#onLease(name)
  }

  /** `null` without a limit. */
  creditsOf(keyId: string): AllowanceStatus | null {
    if (this.#keys.get(keyId)?.credits == null) return null
    const one = this.#allowanceOf(`${keyId}/credits`)
    this.#refresh(one.state.name, one)
    const { limit, endsAt, elsewhere } = one.state
    const { problem } = elsewhere
    return { limit, endsAt, ...sumsOf(one.state), ...(problem !== null && { problem }) }
  }

  close(): void {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
    for (const { lease } of this.#open.values()) lease?.close()
  }

  #allowanceOf(name: AllowanceName): OpenAllowance {
    const known = this.#open.get(name)
    if (known !== undefined) return known
    const { limit, kind } = this.#grantOf(name)
    const period = periodAt(kind ?? 'never', null, this.#now())
    const { number, endsAt } = period
    const fleet = this.governor?.awayOf(name, { limit, period: number }) ?? NO_FLEET
    const lease = isCredits(name) ? this.#leaseOf(name) : null
    const away = lease === null ? fleet : lease.away(limit, capOf(limit, fleet))
    const state = openAllowance({ name, limit, period: number, endsAt, ...away })
    const one: OpenAllowance = { period, fleet, state, lease }
    this.#open.set(name, one)
    this.#look(name)
    return one
  }

  #leaseOf(name: AllowanceName): CreditLease {
    const key = keyIdOf(name)
    const one = (): OpenAllowance => this.#allowanceOf(name)
    return new CreditLease({
      book: this.#options.book,
      limit: () => {
        const { period, state, fleet } = one()
        const { createdAt = 0, reopened = null } = this.#keys.get(key) ?? {}
        return { key, period, cap: capOf(state.limit, fleet), createdAt, reopened }
      },
      state: () => one().state,
      onChange: () => this.#onLease(name),
      onNews: (page) => this.onPages([page])
    })
  }

  #onLease(name: AllowanceName): void {
    const one = this.#open.get(name)
    if (one?.lease == null) return
    const { limit } = one.state
    const { away, mayCome, elsewhere } = one.lease.away(limit, capOf(limit, one.fleet))
    const next = { away, mayCome: mayCome || one.fleet.mayCome, elsewhere }
    const isSame =
      one.state.away === away &&
      one.state.mayCome === next.mayCome &&
      JSON.stringify(one.state.elsewhere) === JSON.stringify(elsewhere)
    if (!isSame) this.#tell(one, { type: 'away', ...next })
  }

  /** Looks at the lease once for all changes in this turn of the event loop. */
  #look(name: AllowanceName): void {
    if (this.#changed.size === 0) setImmediate(() => this.#lookAll())
    this.#changed.add(name)
  }

  #lookAll(): void {
    const changed = [...this.#changed]
    this.#changed.clear()
    if (this.#isClosed) return
    for (const name of changed) {
      this.#open.get(name)?.lease?.look()
      this.#onLease(name)
    }
  }

  #refresh(name: AllowanceName, one: OpenAllowance): void {
    const { limit, kind } = this.#grantOf(name)
    const period = periodAt(kind ?? one.period.kind, one.period, this.#now())
    const isNew = period.number !== one.period.number
    if (limit === one.state.limit && period === one.period) return
    one.period = period
    if (isNew) this.#begin(name, one, limit)
    else {
      one.fleet = this.governor?.awayOf(name, { limit, period: period.number }) ?? one.fleet
      const { away } = one.lease?.away(limit, capOf(limit, one.fleet)) ?? one.fleet
      const { number, endsAt } = period
      this.#tell(one, { type: 'limit', limit, period: number, endsAt, away })
    }
    this.#look(name)
  }

  #begin(name: AllowanceName, one: OpenAllowance, limit = one.state.limit): void {
    const { number, endsAt } = one.period
    one.fleet = this.governor?.awayOf(name, { limit, period: number }) ?? NO_FLEET
    one.lease?.begin()
    const { away } = one.lease?.away(limit, capOf(limit, one.fleet)) ?? one.fleet
    this.#tell(one, { type: 'limit', limit, period: number, endsAt, away })
    this.#onLease(name)
  }

  /** A key that is gone or unlimited is still counted: it may have a limit again. */
  #grantOf(name: AllowanceName): { readonly limit: number; readonly kind: PeriodKind | null } {
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
      case 'unpriced':
        return { limit: 1, kind: 'never' }
    }
  }

  #tell(one: OpenAllowance, event: AllowanceEvent, member?: string): readonly AllowanceGrant[] {
    const { state, grants } = nextAllowance(one.state, event)
    one.state = state
    const held: AllowanceGrant[] = []
    for (const [other, news] of grants) {
      if (other === member) held.push(news)
      else this.#options.send(other, [news])
    }
    this.governor?.onChange(state.name)
    if (one.lease !== null) this.#look(state.name)
    return held
  }

  /** Ends periods in time, as workers hold leases of them. */
  #wake(): void {
    if (this.#timer !== null || this.#open.size === 0 || this.#isClosed) return
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

const NO_FLEET = { away: 0, mayCome: false } as const

function capOf(limit: number, { away }: OpenAllowance['fleet']): number {
  return Math.max(0, limit - away)
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

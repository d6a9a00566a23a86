import {
  type LedgerEntries,
  aheadOf,
  apportion,
  type BudgetSize,
  isLeaving,
  leaseOf,
  limitOf,
  reserveOf,
  shareAt,
  wantOf
} from './ledger-entry.ts'
import { type CoolingStarts, countFreeStarts } from './pace.ts'

export class LedgerView {
  readonly size: BudgetSize
  readonly entries: LedgerEntries
  readonly cooling: readonly CoolingStarts[]
  /** Permits that streams never get. */
  readonly reserve: number
  /** Negative while permits must come back after a shrink. */
  readonly unleased: number
  readonly free: number
  readonly freeStarts: number
  #owed: ReadonlyMap<string, number> | null = null
  #keepAlive: ReadonlyMap<string, number> | null = null

  constructor(size: BudgetSize, entries: LedgerEntries, cooling: readonly CoolingStarts[] = []) {
    this.size = size
    this.entries = entries
    this.cooling = cooling
    this.reserve = reserveOf(size)
    let leased = 0
    let reserved = 0
    for (const entry of entries.values()) {
      leased += leaseOf(entry)
      if (entry.slot === 'control') reserved += leaseOf(entry)
    }
    this.unleased = limitOf(size) - leased
    this.free = this.unleased - Math.max(0, this.reserve - reserved)
    this.freeStarts = countFreeStarts(size, cooling, entries.values())
  }

  with(entries: LedgerEntries): LedgerView {
    return entries === this.entries ? this : new LedgerView(this.size, entries, this.cooling)
  }

  entitlementOf(member: string): number {
    const entry = this.entries.get(member)
    if (entry === undefined || isLeaving(entry) || entry.slot === 'fleet') return 0
    if (entry.slot === 'control') return this.reserve
    for (const [name, other] of this.entries) {
      if (name === member) break
      if (other.slot === entry.slot && !isLeaving(other)) return 0
    }
    return shareAt(entry.slot, limitOf(this.size) - this.reserve, this.size.workers)
  }

  /** Part of a shrink that the member must return, in proportion to its excess over its share. */
  owedBy(member: string): number {
    if (this.free >= 0) return 0
    this.#owed ??= this.#owedByAll()
    return this.#owed.get(member) ?? 0
  }

  /** Further permits asked back: all that waiters elsewhere need, since the ledger does not know who has idle ones. */
  wantedFrom(member: string): number {
    const entry = this.entries.get(member)
    if (entry === undefined) return 0
    const lease = leaseOf(entry) - this.owedBy(member)
    if (entry.slot === 'control') return Math.max(0, lease - this.reserve)
    if (entry.isRetiring) return Math.max(0, lease)
    let wanted = 0
    for (const [name, other] of this.entries) if (name !== member) wanted += wantOf(other)
    return Math.max(0, Math.min(lease, wanted))
  }

  aheadFrom(member: string): number {
    const entry = this.entries.get(member)
    if (typeof entry?.slot !== 'number') return 0
    let ahead = 0
    for (const [name, other] of this.entries) if (name !== member) ahead += aheadOf(other)
    return Math.min(leaseOf(entry), ahead)
  }

  /** Idle connections allowed; divided like the leases. */
  keepAliveOf(member: string): number {
    const limit = limitOf(this.size)
    const total = Math.min(this.size.maxKeepalive ?? limit, limit)
    this.#keepAlive ??= this.#divide(total, [...this.entries.values()].map(leaseOf))
    return this.#keepAlive.get(member) ?? 0
  }

  /** Permits that may be idle as far as is known: all, until the member answers. */
  perhapsIdleIn(member: string): number {
    const entry = this.entries.get(member)
    if (entry === undefined || entry.report.draining || entry.hasStopped) return 0
    const asked = this.wantedFrom(member) === 0 ? 0 : (entry.grant?.asked ?? 0)
    if (asked !== 0 && entry.report.seen >= asked) return entry.report.spare
    const reserve = entry.slot === 'control' ? this.reserve : 0
    return Math.max(0, leaseOf(entry) - this.owedBy(member) - reserve)
  }

  #owedByAll(): ReadonlyMap<string, number> {
    const excess = [...this.entries].map(([member, entry]) =>
      Math.max(0, leaseOf(entry) - this.entitlementOf(member))
    )
    const total = excess.reduce((a, b) => a + b, 0)
    return this.#divide(Math.min(-this.free, total), excess)
  }

  #divide(total: number, weights: readonly number[]): ReadonlyMap<string, number> {
    const parts = apportion(total, weights)
    return new Map([...this.entries.keys()].map((member, index) => [member, parts[index] ?? 0]))
  }
}

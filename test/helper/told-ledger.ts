import { type BudgetSize, leaseOf } from '../../src/control/budget/ledger-entry.ts'
import {
  type LedgerEvent,
  type LedgerState,
  nextLedger,
  openLedger
} from '../../src/control/budget/ledger.ts'
import { type LeaseReport, type LeaseGrant, NO_REPORT } from '../../src/ipc/messages.ts'

/** The defaults. */
export const SIZE: BudgetSize = {
  maxConnections: 300,
  maxKeepalive: 150,
  maxWaiting: 1000,
  maxRequestsPerMinute: null,
  workers: 2
}

/** A ledger with the primary and two workers, and what each was told last. */
export class ToldLedger {
  state: LedgerState
  readonly told = new Map<string, LeaseGrant>()
  now = 1000
  wakeAt: number | null = null

  constructor(size: Partial<BudgetSize> = {}) {
    this.state = openLedger({ ...SIZE, ...size })
    this.do({ type: 'join', member: 'control', slot: 'control' })
    this.do({ type: 'join', member: 'w1', slot: 0 })
    this.do({ type: 'join', member: 'w2', slot: 1 })
  }

  /** Returns who was sent something. */
  do(event: LedgerEvent): string[] {
    const { state, grants, wakeAt } = nextLedger(this.state, event, this.now)
    this.state = state
    this.wakeAt = wakeAt
    for (const [member, news] of grants) this.told.set(member, news)
    return [...grants.keys()]
  }

  /** Sends a report like the last one but for `report`. Returns who was sent something. */
  report(member: string, report: Partial<LeaseReport>): string[] {
    const entry = this.state.entries.get(member)
    const told = this.told.get(member)
    const base = {
      ...(entry?.report ?? NO_REPORT),
      granted: told?.granted ?? 0,
      seen: told?.seq ?? 0
    }
    return this.do({ type: 'report', member, report: { ...base, seq: base.seq + 1, ...report } })
  }

  lease(member: string): number {
    const entry = this.state.entries.get(member)
    return entry === undefined ? 0 : leaseOf(entry)
  }
}

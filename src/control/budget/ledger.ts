import type { LeaseReport, LeaseGrant } from '../../ipc/messages.ts'
import { serviceOrder } from '../../ipc/service-order.ts'
import {
  type LedgerEntry,
  type LedgerEntries,
  aheadOf,
  type BudgetSize,
  keyLinesOf,
  leaseOf,
  type LedgerSlot,
  newLedgerEntry,
  wantOf
} from './ledger-entry.ts'
import { admitWaiters, hasNews, grantFor } from './ledger-grants.ts'
import { LedgerView } from './ledger-view.ts'
import {
  coolDown,
  type CoolingStarts,
  grantStarts,
  MINUTE,
  nextFreeAt,
  type PaceWindow,
  withPaceReport,
  writeOff
} from './pace.ts'

/*
 * Leases of the primary, as a pure state machine:
 *
 *   join ─▶ entry opened ──report──▶ (permits back, waiters known) ──stopped──▶ asks for nothing more
 *             └──retire──▶ gives back what falls idle ────────────────────┘    └──remains, left──▶ permits free again
 *
 * A permit is free, or granted to one member until that reports it returned, or `remains` or `left` says that its
 * sockets are gone. Leases therefore never exceed the budget, however late messages are; after a shrink they only fall.
 */

export interface LedgerState {
  readonly size: BudgetSize
  readonly entries: LedgerEntries
  readonly cooling: readonly CoolingStarts[]
  readonly window: PaceWindow
}

export type LedgerEvent =
  /** Each process is a member of its own, also in its predecessor's slot. */
  | { readonly type: 'join'; readonly member: string; readonly slot: LedgerSlot }
  | { readonly type: 'report'; readonly member: string; readonly report: LeaseReport }
  /** A successor serves: the member gets only what its last clients wait for. */
  | { readonly type: 'retire'; readonly member: string }
  /** Process gone; its permits stay out until `remains` and `left`. */
  | { readonly type: 'stopped'; readonly member: string }
  /** At most this many sockets are left; other permits are free. */
  | { readonly type: 'remains'; readonly member: string; readonly sockets: number }
  /** No sockets are left, according to the system or to patience. */
  | { readonly type: 'left'; readonly member: string }
  /** Growth is immediate; a shrink waits for requests in flight. */
  | { readonly type: 'resize'; readonly size: BudgetSize }
  | { readonly type: 'tick' }

export interface LedgerStep {
  readonly state: LedgerState
  readonly grants: ReadonlyMap<string, LeaseGrant>
  /** Time of the next `tick` on the clock of `now`; `null` if none. */
  readonly wakeAt: number | null
}

export function openLedger(size: BudgetSize, window = MINUTE): LedgerState {
  return { size, entries: new Map(), cooling: [], window }
}

/** Ignores late reports of unknown members. `now` is monotonic; with a pace, it is the clock of waiters' times. */
export function nextLedger(state: LedgerState, event: LedgerEvent, now: number): LedgerStep {
  const { window } = state
  const size = event.type === 'resize' ? event.size : state.size
  const { entries: recorded, sent } = record(state.entries, event)
  const isPaced = size.maxRequestsPerMinute !== null
  const cooling = isPaced ? coolDown(state.cooling, { sent, now, window }) : []
  const served = grantStarts(grantPermits(new LedgerView(size, recorded, cooling)), now)
  const view = admitWaiters(served)
  const entries = new Map(view.entries)
  const news = new Map<string, LeaseGrant>()
  for (const [member, entry] of view.entries) {
    const grant = grantFor(view, member, entry)
    if (entry.hasStopped || !hasNews(entry, grant)) continue
    news.set(member, grant)
    entries.set(member, { ...entry, grant })
  }
  return { state: { size, entries, cooling, window }, grants: news, wakeAt: nextFreeAt(view) }
}

interface Recorded {
  readonly entries: LedgerEntries
  readonly sent: number
}

function record(entries: LedgerEntries, event: LedgerEvent): Recorded {
  if (event.type === 'resize' || event.type === 'tick') return { entries, sent: 0 }
  const next = new Map(entries)
  const entry = entries.get(event.member)
  let sent = 0
  switch (event.type) {
    case 'join':
      if (entry !== undefined) throw new Error(`${event.member} has joined already`)
      next.set(event.member, newLedgerEntry(event.slot))
      break
    case 'report':
      if (entry !== undefined && event.report.seq > entry.report.seq) {
        const { report } = event
        const paced = withPaceReport(entry.starts, report.pace)
        if (!entry.hasStopped) sent = paced.sent
        const starts = entry.hasStopped ? entry.starts : paced.starts
        next.set(event.member, { ...entry, report, starts })
      }
      break
    case 'retire':
      if (entry !== undefined) next.set(event.member, { ...entry, isRetiring: true })
      break
    case 'stopped':
      if (entry !== undefined) {
        const gone = writeOff(entry.starts)
        sent = gone.sent
        next.set(event.member, { ...entry, starts: gone.starts, hasStopped: true })
      }
      break
    case 'remains':
      if (entry?.hasStopped === true) next.set(event.member, withRemains(entry, event.sockets))
      break
    case 'left':
      if (entry !== undefined) sent = writeOff(entry.starts).sent
      next.delete(event.member)
      break
  }
  return { entries: next, sent }
}

/** Replaces the member's report, which no longer counts even if it arrives now. */
function withRemains(entry: LedgerEntry, sockets: number): LedgerEntry {
  const { granted, report } = entry
  const returned = Math.max(report.returned, granted - sockets)
  return { ...entry, report: { ...report, seq: Infinity, returned } }
}

/** Grants free permits: reserve, waiters in order of service, members that soon need more, those below their share. */
function grantPermits(view: LedgerView): LedgerView {
  const withReserve = topUp(view, 'control', view.unleased)
  const withWaiters = serveWaiting(withReserve)
  const withAhead = serveAhead(withWaiters)
  return topUp(withAhead, 'workers', withAhead.free)
}

function topUp(view: LedgerView, of: 'control' | 'workers', free: number): LedgerView {
  let left = free
  const grants = new Map<string, number>()
  for (const [member, entry] of view.entries) {
    if ((entry.slot === 'control') !== (of === 'control')) continue
    const permits = Math.min(left, view.entitlementOf(member) - leaseOf(entry))
    if (permits <= 0) continue
    grants.set(member, permits)
    left -= permits
  }
  return withGrants(view, grants)
}

function serveWaiting(view: LedgerView): LedgerView {
  const { entries, free } = view
  let left = free
  const grants = new Map<string, number>()
  const give = (member: string, permits: number): void => {
    grants.set(member, (grants.get(member) ?? 0) + permits)
    left -= permits
  }
  if (left <= 0) return view
  for (const { member: line } of serviceOrder(keyLinesOf(entries))) {
    if (left <= 0) break
    give(line.member, 1)
  }
  // Waiters behind the reported heads are younger; their order is unknown, except that ours precede other gateways'.
  const others = [...entries].toSorted(([, a], [, b]) => guestRank(a) - guestRank(b))
  for (const [member, entry] of others) {
    const rest = Math.min(left, wantOf(entry) - (grants.get(member) ?? 0))
    if (rest > 0) give(member, rest)
  }
  return withGrants(view, grants)
}

function serveAhead(view: LedgerView): LedgerView {
  let left = view.free
  const grants = new Map<string, number>()
  for (const [member, entry] of view.entries) {
    const permits = Math.min(left, aheadOf(entry))
    if (permits <= 0) continue
    grants.set(member, permits)
    left -= permits
  }
  return withGrants(view, grants)
}

function guestRank({ slot }: LedgerEntry): number {
  return slot === 'fleet' ? 1 : 0
}

function withGrants(view: LedgerView, grants: ReadonlyMap<string, number>): LedgerView {
  if (grants.size === 0) return view
  const next = new Map(view.entries)
  for (const [member, permits] of grants) {
    const entry = view.entries.get(member)
    if (entry !== undefined) next.set(member, { ...entry, granted: entry.granted + permits })
  }
  return view.with(next)
}

import type { LeaseReport, LeaseGrant } from '../../ipc/messages.ts'
import { serviceOrder } from '../../ipc/service-order.ts'
import {
  type Account,
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
 *   join ─▶ account opened ──report──▶ (permits back, waiters known) ──stopped──▶ asks for nothing more
 *             └──retire──▶ gives back what falls idle ────────────────────┘    └──remains, left──▶ permits free again
 *
 * A permit is free, or granted to one member until that reports it returned, or `remains` or `left` says that its
 * sockets are gone. Leases therefore never exceed the budget, however late messages are; after a shrink they only fall.
 */

export interface LedgerState {
  readonly size: BudgetSize
  readonly accounts: LedgerEntries
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
  return { size, accounts: new Map(), cooling: [], window }
}

/** Ignores late reports of unknown members. `now` is monotonic; with a pace, it is the clock of waiters' times. */
export function nextLedger(state: LedgerState, event: LedgerEvent, now: number): LedgerStep {
  const { window } = state
  const size = event.type === 'resize' ? event.size : state.size
  const { accounts: recorded, sent } = record(state.accounts, event)
  const isPaced = size.maxRequestsPerMinute !== null
  const cooling = isPaced ? coolDown(state.cooling, { sent, now, window }) : []
  const served = grantStarts(grantPermits(new LedgerView(size, recorded, cooling)), now)
  const view = admitWaiters(served)
  const accounts = new Map(view.accounts)
  const news = new Map<string, LeaseGrant>()
  for (const [member, account] of view.accounts) {
    const grant = grantFor(view, member, account)
    if (account.hasStopped || !hasNews(account, grant)) continue
    news.set(member, grant)
    accounts.set(member, { ...account, grant })
  }
  return { state: { size, accounts, cooling, window }, grants: news, wakeAt: nextFreeAt(view) }
}

interface Recorded {
  readonly accounts: LedgerEntries
  readonly sent: number
}

function record(accounts: LedgerEntries, event: LedgerEvent): Recorded {
  if (event.type === 'resize' || event.type === 'tick') return { accounts, sent: 0 }
  const next = new Map(accounts)
  const account = accounts.get(event.member)
  let sent = 0
  switch (event.type) {
    case 'join':
      if (account !== undefined) throw new Error(`${event.member} has joined already`)
      next.set(event.member, newLedgerEntry(event.slot))
      break
    case 'report':
      if (account !== undefined && event.report.seq > account.report.seq) {
        const { report } = event
        const paced = withPaceReport(account.starts, report.pace)
        if (!account.hasStopped) sent = paced.sent
        const starts = account.hasStopped ? account.starts : paced.starts
        next.set(event.member, { ...account, report, starts })
      }
      break
    case 'retire':
      if (account !== undefined) next.set(event.member, { ...account, isRetiring: true })
      break
    case 'stopped':
      if (account !== undefined) {
        const gone = writeOff(account.starts)
        sent = gone.sent
        next.set(event.member, { ...account, starts: gone.starts, hasStopped: true })
      }
      break
    case 'remains':
      if (account?.hasStopped === true) next.set(event.member, withRemains(account, event.sockets))
      break
    case 'left':
      if (account !== undefined) sent = writeOff(account.starts).sent
      next.delete(event.member)
      break
  }
  return { accounts: next, sent }
}

/** Replaces the member's report, which no longer counts even if it arrives now. */
function withRemains(account: Account, sockets: number): Account {
  const { granted, report } = account
  const returned = Math.max(report.returned, granted - sockets)
  return { ...account, report: { ...report, seq: Infinity, returned } }
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
  for (const [member, account] of view.accounts) {
    if ((account.slot === 'control') !== (of === 'control')) continue
    const permits = Math.min(left, view.entitlementOf(member) - leaseOf(account))
    if (permits <= 0) continue
    grants.set(member, permits)
    left -= permits
  }
  return withGrants(view, grants)
}

function serveWaiting(view: LedgerView): LedgerView {
  const { accounts, free } = view
  let left = free
  const grants = new Map<string, number>()
  const give = (member: string, permits: number): void => {
    grants.set(member, (grants.get(member) ?? 0) + permits)
    left -= permits
  }
  if (left <= 0) return view
  for (const { member: line } of serviceOrder(keyLinesOf(accounts))) {
    if (left <= 0) break
    give(line.member, 1)
  }
  // Waiters behind the reported heads are younger; their order is unknown, except that ours precede other gateways'.
  const others = [...accounts].toSorted(([, a], [, b]) => guestRank(a) - guestRank(b))
  for (const [member, account] of others) {
    const rest = Math.min(left, wantOf(account) - (grants.get(member) ?? 0))
    if (rest > 0) give(member, rest)
  }
  return withGrants(view, grants)
}

function serveAhead(view: LedgerView): LedgerView {
  let left = view.free
  const grants = new Map<string, number>()
  for (const [member, account] of view.accounts) {
    const permits = Math.min(left, aheadOf(account))
    if (permits <= 0) continue
    grants.set(member, permits)
    left -= permits
  }
  return withGrants(view, grants)
}

function guestRank({ slot }: Account): number {
  return slot === 'fleet' ? 1 : 0
}

function withGrants(view: LedgerView, grants: ReadonlyMap<string, number>): LedgerView {
  if (grants.size === 0) return view
  const next = new Map(view.accounts)
  for (const [member, permits] of grants) {
    const account = view.accounts.get(member)
    if (account !== undefined) next.set(member, { ...account, granted: account.granted + permits })
  }
  return view.with(next)
}

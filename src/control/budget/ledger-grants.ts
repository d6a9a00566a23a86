import type { LeaseGrant } from '../../ipc/messages.ts'
import { hasMoved, HEADS_TOLD, type RankedHead, serviceOrder } from '../../ipc/service-order.ts'
import { type LedgerEntry, keyLinesOf, leaseOf, queueOf } from './ledger-entry.ts'
import type { LedgerView } from './ledger-view.ts'
import { isPaceNews, paceGrantFor } from './pace.ts'

export function grantFor(view: LedgerView, member: string, entry: LedgerEntry): LeaseGrant {
  const seq = (entry.grant?.seq ?? 0) + 1
  const wanted = view.wantedFrom(member)
  const askedBefore = entry.grant?.asked ?? 0
  const elsewhere = { leased: 0, waiting: 0 }
  for (const [name, other] of view.entries) {
    if (name === member) continue
    elsewhere.leased += leaseOf(other)
    elsewhere.waiting += queueOf(other)
  }
  return {
    type: 'lease.grant',
    seq,
    granted: entry.granted,
    returned: entry.report.returned,
    owed: view.owedBy(member),
    wanted,
    ahead: view.aheadFrom(member),
    heads: entry.slot === 'control' ? [] : headsElsewhere(view, member, wanted),
    asked: wanted === 0 ? 0 : askedBefore === 0 ? seq : askedBefore,
    keepAlive: view.keepAliveOf(member),
    maxWaiting: waitingAllowance(view, member, entry),
    pace: paceGrantFor(view.size, entry),
    budget: view.size.maxConnections,
    elsewhere
  }
}

/** True if the member would act differently on `grant` than on the last ones. */
export function hasNews(entry: LedgerEntry, grant: LeaseGrant): boolean {
  const told = entry.grant
  if (told === null) return true
  return (
    told.granted !== grant.granted ||
    told.returned + told.owed !== grant.returned + grant.owed ||
    askedUpTo(told) !== askedUpTo(grant) ||
    askedUpTo(told) + told.ahead !== askedUpTo(grant) + grant.ahead ||
    told.asked !== grant.asked ||
    told.keepAlive !== grant.keepAlive ||
    told.budget !== grant.budget ||
    isPaceNews(told.pace, grant.pace) ||
    hasMoved(told.heads, grant.heads) ||
    headsLeft(told, grant) < grant.heads.length / 2 ||
    isAllowanceNews(entry, told.maxWaiting, grant.maxWaiting)
  )
}

function askedUpTo(grant: LeaseGrant): number {
  return grant.returned + grant.owed + grant.wanted
}

function headsLeft(told: LeaseGrant, grant: LeaseGrant): number {
  return told.heads.length - (grant.returned - told.returned)
}

function headsElsewhere(
  { entries }: LedgerView,
  member: string,
  wanted: number
): readonly RankedHead[] {
  const heads: RankedHead[] = []
  if (wanted === 0) return heads
  for (const { member: line, head } of serviceOrder(keyLinesOf(entries))) {
    if (line.member === member) continue
    heads.push(head)
    if (heads.length === Math.min(wanted, HEADS_TOLD)) break
  }
  return heads
}

/*
 * HTTP_POOL_MAX_WAITING holds for the cluster, yet a worker must decide at once. So each may fill all the remaining
 * room; if several do, newcomers of one are refused after one round trip. A waiter once `kept` is not refused. Requests
 * that may get an idle connection elsewhere wait beyond the limit until that is known. The primary's own calls are
 * exempt: waiting streams must not delay a token renewal.
 */

export const MAX_CALLS_WAITING = 100

export function admitWaiters(view: LedgerView): LedgerView {
  let room = view.size.maxWaiting
  for (const entry of view.entries.values()) room -= Math.min(entry.kept, queueOf(entry))
  const next = new Map(view.entries)
  for (const [member, entry] of view.entries) {
    if (typeof entry.slot !== 'number') continue
    const queue = queueOf(entry)
    const stay = Math.min(entry.kept, queue)
    const kept = stay + Math.min(queue - stay, Math.max(0, room))
    room -= kept - stay
    if (kept !== entry.kept) next.set(member, { ...entry, kept })
  }
  return view.with(next)
}

function waitingAllowance(view: LedgerView, member: string, { slot }: LedgerEntry): number {
  if (slot === 'control') return MAX_CALLS_WAITING
  let room = view.size.maxWaiting
  let idle = Math.max(0, view.free)
  let allowed = 0
  const isPaced = view.size.maxRequestsPerMinute !== null
  for (const [name, entry] of view.entries) {
    room -= entry.kept
    // A free permit suffices for a request that needs no start.
    if (name !== member || isPaced) idle += view.perhapsIdleIn(name)
  }
  if (isPaced) idle = Math.min(idle, view.freeStarts)
  for (const [name, entry] of view.entries) {
    const hopeful = Math.min(queueOf(entry) - entry.kept, Math.max(0, idle))
    idle -= hopeful
    if (name === member) allowed = entry.kept + hopeful
  }
  return allowed + Math.max(0, room) + Math.max(0, idle)
}

/** True if the member would wrongly refuse or keep a waiter without the new allowance. */
function isAllowanceNews(entry: LedgerEntry, told: number, allowance: number): boolean {
  if (told === allowance) return false
  const waiting = queueOf(entry)
  const isExceeded = waiting > allowance
  const wasFull = told < allowance && waiting >= told
  return isExceeded || wasFull || Math.abs(told - allowance) > Math.floor(allowance / 32)
}

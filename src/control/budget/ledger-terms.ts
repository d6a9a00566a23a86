import type { LeaseTerms } from '../../ipc/messages.ts'
import { hasMoved, HEADS_TOLD, type RankedHead, serviceOrder } from '../../ipc/service-order.ts'
import {
  type Account,
  type Accounts,
  apportion,
  type BudgetSize,
  freePermits,
  headsOf,
  leaseOf,
  owedBy,
  reserveOf,
  UNLIMITED,
  wantedFrom,
  wantOf
} from './ledger-account.ts'

/** What a member should know now, whether or not it does already. */
export function termsFor(size: BudgetSize, accounts: Accounts, member: string): LeaseTerms {
  const account = accounts.get(member)
  if (account === undefined) throw new Error(`no account of ${member}`)
  const others = new Map([...accounts].filter(([name]) => name !== member))
  const seq = (account.terms?.seq ?? 0) + 1
  const owed = owedBy(size, accounts, member)
  const wanted = wantedFrom(size, accounts, member)
  const askedBefore = account.terms?.asked ?? 0
  return {
    type: 'lease.terms',
    seq,
    granted: account.granted,
    returned: account.report.returned,
    owed,
    wanted,
    heads: account.slot === 'control' ? [] : headsElsewhere(accounts, member, wanted),
    asked: wanted === 0 ? 0 : askedBefore === 0 ? seq : askedBefore,
    keepAlive: keepAliveOf(size, accounts, member),
    maxWaiting: waitingAllowance(size, accounts, member),
    budget: size.maxConnections,
    elsewhere: { leased: sum(others, leaseOf), waiting: sum(others, wantOf) }
  }
}

/** Whether the member would do something else if it knew `terms` instead of what it was told last. */
export function hasNews(account: Account, terms: LeaseTerms): boolean {
  const told = account.terms
  if (told === null) return true
  return (
    told.granted !== terms.granted ||
    told.returned + told.owed !== terms.returned + terms.owed ||
    askedUpTo(told) !== askedUpTo(terms) ||
    told.asked !== terms.asked ||
    told.keepAlive !== terms.keepAlive ||
    told.budget !== terms.budget ||
    hasMoved(told.heads, terms.heads) ||
    headsLeft(told, terms) < terms.heads.length / 2 ||
    isAllowanceNews(account, told.maxWaiting, terms.maxWaiting)
  )
}

function askedUpTo(terms: LeaseTerms): number {
  return terms.returned + terms.owed + terms.wanted
}

/** Of the heads it was told, those it has not given a permit back for. */
function headsLeft(told: LeaseTerms, terms: LeaseTerms): number {
  return told.heads.length - (terms.returned - told.returned)
}

function headsElsewhere(accounts: Accounts, member: string, wanted: number): readonly RankedHead[] {
  const heads: RankedHead[] = []
  if (wanted === 0) return heads
  const lines = new Map([...accounts].map(([name, account]) => [name, headsOf(account)]))
  for (const turn of serviceOrder(lines)) {
    if (turn.member === member) continue
    heads.push(turn.head)
    if (heads.length === Math.min(wanted, HEADS_TOLD)) break
  }
  return heads
}

/** Idle connections are shared out like the leases, so that equal leases have equal shares. */
function keepAliveOf(size: BudgetSize, accounts: Accounts, member: string): number {
  const limit = size.maxConnections ?? UNLIMITED
  const total = Math.min(size.maxKeepalive ?? limit, limit)
  const parts = apportion(total, [...accounts.values()].map(leaseOf))
  return parts[[...accounts.keys()].indexOf(member)] ?? 0
}

function sum(accounts: Accounts, of: (account: Account) => number): number {
  let total = 0
  for (const account of accounts.values()) total += of(account)
  return total
}

/*
 * HTTP_POOL_MAX_WAITING holds for the cluster, and yet a worker decides at once whether a request may wait.
 * So each may fill all the room that is left: one worker that has all the clients has all of it. When several
 * fill it at the same moment, the newcomers of one are refused as soon as their report and the answer to it have
 * crossed the channel; for that time, and no longer, there may be as many waiting as workers times the bound.
 * Who was counted once ("kept") is not refused any more.
 * Requests for which an idle connection may still turn up elsewhere wait beyond the bound until that is known.
 * The primary's own calls stand outside of all this: streams that wait must not keep a token from being renewed.
 */

/** How many of the primary's own calls may wait at once. */
export const MAX_CALLS_WAITING = 100

/** Counts newcomers as kept while there is room. */
export function admitWaiters(size: BudgetSize, accounts: Accounts): Accounts {
  let room = size.maxWaiting
  for (const account of accounts.values()) room -= Math.min(account.kept, wantOf(account))
  const next = new Map(accounts)
  for (const [member, account] of accounts) {
    if (account.slot === 'control') continue
    const want = wantOf(account)
    const stay = Math.min(account.kept, want)
    const kept = stay + Math.min(want - stay, Math.max(0, room))
    room -= kept - stay
    if (kept !== account.kept) next.set(member, { ...account, kept })
  }
  return next
}

/** How many requests may wait in one member. */
export function waitingAllowance(size: BudgetSize, accounts: Accounts, member: string): number {
  if (accounts.get(member)?.slot === 'control') return MAX_CALLS_WAITING
  let room = size.maxWaiting
  let idle = Math.max(0, freePermits(size, accounts))
  let allowed = 0
  for (const [name, account] of accounts) {
    room -= account.kept
    if (name !== member) idle += perhapsIdle(size, accounts, name)
  }
  for (const [name, account] of accounts) {
    const hopeful = Math.min(wantOf(account) - account.kept, Math.max(0, idle))
    idle -= hopeful
    if (name === member) allowed = account.kept + hopeful
  }
  return allowed + Math.max(0, room) + Math.max(0, idle)
}

/** Permits of a member that may be idle as far as is known: all of them until it has answered. */
function perhapsIdle(size: BudgetSize, accounts: Accounts, member: string): number {
  const account = accounts.get(member)
  if (account === undefined || account.report.draining || account.hasStopped) return 0
  const asked = wantedFrom(size, accounts, member) === 0 ? 0 : (account.terms?.asked ?? 0)
  if (asked !== 0 && account.report.seen >= asked) return account.report.spare
  const reserve = account.slot === 'control' ? reserveOf(size) : 0
  return Math.max(0, leaseOf(account) - owedBy(size, accounts, member) - reserve)
}

/** Whether a member would refuse, or keep, somebody wrongly if it did not hear that its allowance has changed. */
export function isAllowanceNews(account: Account, told: number, allowance: number): boolean {
  if (told === allowance) return false
  const waiting = wantOf(account)
  const isExceeded = waiting > allowance
  const wasFull = told < allowance && waiting >= told
  return isExceeded || wasFull || Math.abs(told - allowance) > Math.floor(allowance / 32)
}

import type { LeaseTerms } from '../ipc/lease-messages.ts'
import { HEADS_TOLD, hasMoved, serviceOrder, type RankedHead } from '../ipc/service-order.ts'
import { apportion } from './apportion.ts'
import { owedBy, wantedFrom } from './ledger-debts.ts'
import {
  headsOf,
  leaseOf,
  UNLIMITED,
  wantOf,
  type Account,
  type Accounts,
  type BudgetSize
} from './ledger-account.ts'
import { isAllowanceNews, waitingAllowance } from './waiting-room.ts'

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

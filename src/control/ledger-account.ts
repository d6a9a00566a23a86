import { NO_REPORT, type LeaseReport, type LeaseTerms } from '../ipc/lease-messages.ts'
import type { WaiterHead } from '../ipc/service-order.ts'
import { shareAt, sharesOf } from './apportion.ts'

/** Stands for `none`: no machine has as many sockets, and so "unlimited" is not a special case. */
export const UNLIMITED = 2 ** 24

export interface BudgetSize {
  /** `HTTP_MAX_CONNECTIONS`; `null` without limit. */
  readonly maxConnections: number | null
  /** `HTTP_MAX_KEEPALIVE_CONNECTIONS`; `null` without a limit of its own. */
  readonly maxKeepalive: number | null
  /** `HTTP_POOL_MAX_WAITING`, over the cluster. */
  readonly maxWaiting: number
  readonly workers: number
}

export interface Account {
  /** The worker's place in the cluster from 0, or the primary's own calls. */
  readonly slot: number | 'control'
  /** Total of permits granted. */
  readonly granted: number
  /** Of those who wait, how many are safe from being refused for want of room. */
  readonly kept: number
  readonly report: LeaseReport
  /** What the member was told last. */
  readonly terms: LeaseTerms | null
  /** Serves only the clients it has: whatever falls idle goes back. */
  readonly isRetiring: boolean
  /** Its process is gone, its sockets may not be. */
  readonly hasStopped: boolean
}

export type Accounts = ReadonlyMap<string, Account>

/** The account of a member that has said nothing yet. */
export function newAccount(slot: number | 'control'): Account {
  return {
    slot,
    granted: 0,
    kept: 0,
    report: NO_REPORT,
    terms: null,
    isRetiring: false,
    hasStopped: false
  }
}

/** The exact shares for the start-up log, `null` without limit; the reserve is taken from them in equal parts. */
export function sharesAtStart(size: BudgetSize): {
  readonly maxConnections: readonly number[] | null
  readonly maxKeepalive: readonly number[] | null
  readonly reserved: number
} {
  const { maxConnections, maxKeepalive, workers } = size
  return {
    maxConnections: maxConnections === null ? null : sharesOf(maxConnections, workers),
    maxKeepalive: maxKeepalive === null ? null : sharesOf(maxKeepalive, workers),
    reserved: reserveOf(size)
  }
}

/** Permits that streams never get. */
export function reserveOf(size: BudgetSize): number {
  return Math.min(4, Math.floor((size.maxConnections ?? UNLIMITED) / 16))
}

/** What a member holds at rest. One that leaves is entitled to nothing, nor is its successor until it does. */
export function entitlementOf(size: BudgetSize, accounts: Accounts, member: string): number {
  const account = accounts.get(member)
  if (account === undefined || isLeaving(account)) return 0
  const reserve = reserveOf(size)
  if (account.slot === 'control') return reserve
  for (const [name, other] of accounts) {
    if (name === member) break
    if (other.slot === account.slot && !isLeaving(other)) return 0
  }
  return shareAt(account.slot, (size.maxConnections ?? UNLIMITED) - reserve, size.workers)
}

function isLeaving({ report, isRetiring, hasStopped }: Account): boolean {
  return report.draining || isRetiring || hasStopped
}

export function leaseOf(account: Account): number {
  return account.granted - account.report.returned
}

/** Permits that no member has; negative by what must come back after a shrink. */
export function unleasedPermits(size: BudgetSize, accounts: Accounts): number {
  let unleased = size.maxConnections ?? UNLIMITED
  for (const account of accounts.values()) unleased -= leaseOf(account)
  return unleased
}

/** The same without what is kept for the primary's own calls. */
export function freePermits(size: BudgetSize, accounts: Accounts): number {
  let reserveShort = reserveOf(size)
  for (const account of accounts.values())
    if (account.slot === 'control') reserveShort -= leaseOf(account)
  return unleasedPermits(size, accounts) - Math.max(0, reserveShort)
}

/** Waiters of a member that no permit is under way to. */
export function wantOf(account: Account): number {
  if (account.report.draining || account.hasStopped) return 0
  return Math.max(0, account.report.waiting - underWay(account))
}

/** The first of them. The primary's own calls go before everybody: they count as waiting since ever. */
export function headsOf(account: Account): readonly WaiterHead[] {
  const heads = account.report.heads.slice(underWay(account)).slice(0, wantOf(account))
  if (account.slot !== 'control') return heads
  return heads.map(({ key }) => ({ key: `control ${key}`, at: 0, served: 0 }))
}

function underWay(account: Account): number {
  return account.granted - account.report.granted
}

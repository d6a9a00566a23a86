import { type LeaseReport, type LeaseTerms, NO_REPORT } from '../../ipc/messages.ts'
import type { WaiterHead } from '../../ipc/service-order.ts'
import { NO_STARTS, type StartAccount, startsUnderWay } from './pace.ts'

/** Stands for `none`: no machine has as many sockets, and so "unlimited" is not a special case. */
const UNLIMITED = 2 ** 24

export interface BudgetSize {
  /** `HTTP_MAX_CONNECTIONS`; `null` without limit. */
  readonly maxConnections: number | null
  /** `HTTP_MAX_KEEPALIVE_CONNECTIONS`; `null` without a limit of its own. */
  readonly maxKeepalive: number | null
  /** `HTTP_POOL_MAX_WAITING`, over the cluster. */
  readonly maxWaiting: number
  /** `UPSTREAM_MAX_REQUESTS_PER_MINUTE`; `null` without limit. */
  readonly maxRequestsPerMinute: number | null
  readonly workers: number
}

/** A worker's place in the cluster from 0, the primary's own calls, or other gateways, which take what is not used here. */
export type LedgerSlot = number | 'control' | 'fleet'

export interface Account {
  readonly slot: LedgerSlot
  /** Total of permits granted. */
  readonly granted: number
  /** Waiters that are safe from a refusal for lack of room. */
  readonly kept: number
  readonly report: LeaseReport
  readonly starts: StartAccount
  /** The last terms sent to the member. */
  readonly terms: LeaseTerms | null
  /** Serves only the clients it has: whatever falls idle goes back. */
  readonly isRetiring: boolean
  /** Its process is gone, its sockets may not be. */
  readonly hasStopped: boolean
}

export type Accounts = ReadonlyMap<string, Account>

/** The account of a member that has said nothing yet. */
export function newAccount(slot: LedgerSlot): Account {
  return {
    slot,
    granted: 0,
    kept: 0,
    report: NO_REPORT,
    starts: NO_STARTS,
    terms: null,
    isRetiring: false,
    hasStopped: false
  }
}

/** Connections that there may be. */
export function limitOf({ maxConnections }: BudgetSize): number {
  return maxConnections ?? UNLIMITED
}

/** Permits that streams never get. */
export function reserveOf(size: BudgetSize): number {
  return Math.min(4, Math.floor(limitOf(size) / 16))
}

/** One that leaves is entitled to nothing, nor is its successor until it does. */
export function isLeaving({ report, isRetiring, hasStopped }: Account): boolean {
  return report.draining || isRetiring || hasStopped
}

export function leaseOf(account: Account): number {
  return account.granted - account.report.returned
}

/** Waiters of a member that lack a permit, and that none is under way to. */
export function wantOf(account: Account): number {
  if (account.report.draining || account.hasStopped) return 0
  return Math.max(0, account.report.waiting - underWay(account))
}

/** Permits that a worker wants ahead of need and that are not on their way. */
export function aheadOf(account: Account): number {
  if (typeof account.slot !== 'number' || isLeaving(account)) return 0
  const { ahead, waiting } = account.report
  return Math.max(0, ahead - Math.max(0, underWay(account) - waiting))
}

/** All waiters of a member that nothing is under way to. */
export function queueOf(account: Account): number {
  const { report, starts, hasStopped } = account
  if (report.draining || hasStopped) return 0
  return wantOf(account) + Math.max(0, report.gated - startsUnderWay(starts))
}

/** The first of those who lack a permit. The primary's own calls go first: they count as having waited since time 0. */
function headsOf(account: Account): readonly WaiterHead[] {
  const from = account.report.gated + underWay(account)
  const heads = account.report.heads.slice(from).slice(0, wantOf(account))
  if (account.slot !== 'control') return heads
  return heads.map(({ key }) => ({ key: `control ${key}`, at: 0, served: 0 }))
}

/** Waiters of one key in one member. */
export interface KeyLine {
  readonly member: string
  readonly key: string
}

/**
 * The first of those who lack a permit, a line for each key in each member, since each key has turns of its own: a member
 * that has many waiters of one key does not know what that key has had elsewhere.
 */
export function keyLinesOf(accounts: Accounts): ReadonlyMap<KeyLine, readonly WaiterHead[]> {
  const lines = new Map<KeyLine, readonly WaiterHead[]>()
  for (const [member, account] of accounts) {
    const byKey = Map.groupBy(headsOf(account), ({ key }) => key)
    for (const [key, heads] of byKey) lines.set({ member, key }, heads)
  }
  return lines
}

function underWay(account: Account): number {
  return account.granted - account.report.granted
}

/**
 * Divides `total` in proportion to `weights` into whole numbers that add up to it exactly (largest
 * remainder; of equal remainders the first). All zero if the weights are.
 */
export function apportion(total: number, weights: readonly number[]): readonly number[] {
  const sum = weights.reduce((a, b) => a + b, 0)
  if (sum === 0) return weights.map(() => 0)
  const exact = weights.map((weight) => (total * weight) / sum)
  const parts = exact.map((part) => Math.floor(part))
  const rest = total - parts.reduce((a, b) => a + b, 0)
  const byRemainder = exact
    .map((part, index) => ({ index, remainder: part - Math.floor(part) }))
    .toSorted((a, b) => b.remainder - a.remainder || a.index - b.index)
  for (const { index } of byRemainder.slice(0, rest)) parts[index] = (parts[index] ?? 0) + 1
  return parts
}

/** Initial lease of the worker in `slot` (from 0): `floor(total / workers)`, the remainder one each to the first. */
export function shareAt(slot: number, total: number, workers: number): number {
  if (slot >= workers) return 0
  return Math.floor(total / workers) + (slot < total % workers ? 1 : 0)
}

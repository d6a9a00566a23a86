import { type LeaseReport, type LeaseGrant, NO_REPORT } from '../../ipc/messages.ts'
import type { WaiterHead } from '../../ipc/service-order.ts'
import { NO_STARTS, type StartEntry, startsUnderWay } from './pace.ts'

/** `none` as a number that no machine reaches, so that "unlimited" needs no special case. */
const UNLIMITED = 2 ** 24

export interface BudgetSize {
  readonly maxConnections: number | null
  /** `null` without a limit of its own. */
  readonly maxKeepalive: number | null
  readonly maxWaiting: number
  readonly maxRequestsPerMinute: number | null
  readonly workers: number
}

/** Worker's place from 0, the primary's own calls, or other gateways. */
export type LedgerSlot = number | 'control' | 'fleet'

export interface LedgerEntry {
  readonly slot: LedgerSlot
  readonly granted: number
  /** Waiters that must not be refused any more for lack of room. */
  readonly kept: number
  readonly report: LeaseReport
  readonly starts: StartEntry
  readonly grant: LeaseGrant | null
  readonly isRetiring: boolean
  /** True once the process is gone; its sockets may not be. */
  readonly hasStopped: boolean
}

export type LedgerEntries = ReadonlyMap<string, LedgerEntry>

export function newLedgerEntry(slot: LedgerSlot): LedgerEntry {
  return {
    slot,
    granted: 0,
    kept: 0,
    report: NO_REPORT,
    starts: NO_STARTS,
    grant: null,
    isRetiring: false,
    hasStopped: false
  }
}

export function limitOf({ maxConnections }: BudgetSize): number {
  return maxConnections ?? UNLIMITED
}

export function reserveOf(size: BudgetSize): number {
  return Math.min(4, Math.floor(limitOf(size) / 16))
}

/** True if the member, and its successor until it has left, gets no share. */
export function isLeaving({ report, isRetiring, hasStopped }: LedgerEntry): boolean {
  return report.draining || isRetiring || hasStopped
}

export function leaseOf(entry: LedgerEntry): number {
  return entry.granted - entry.report.returned
}

/** Waiters without a permit, granted ones included. */
export function wantOf(entry: LedgerEntry): number {
  if (entry.report.draining || entry.hasStopped) return 0
  return Math.max(0, entry.report.waiting - underWay(entry))
}

/** Permits wanted in advance and not granted yet. */
export function aheadOf(entry: LedgerEntry): number {
  if (typeof entry.slot !== 'number' || isLeaving(entry)) return 0
  const { ahead, waiting } = entry.report
  return Math.max(0, ahead - Math.max(0, underWay(entry) - waiting))
}

export function queueOf(entry: LedgerEntry): number {
  const { report, starts, hasStopped } = entry
  if (report.draining || hasStopped) return 0
  return wantOf(entry) + Math.max(0, report.gated - startsUnderWay(starts))
}

/** First waiters without a permit. The primary's own calls precede all: they count as waiting since time 0. */
function headsOf(entry: LedgerEntry): readonly WaiterHead[] {
  const from = entry.report.gated + underWay(entry)
  const heads = entry.report.heads.slice(from).slice(0, wantOf(entry))
  if (entry.slot !== 'control') return heads
  return heads.map(({ key }) => ({ key: `control ${key}`, at: 0, served: 0 }))
}

export interface KeyLine {
  readonly member: string
  readonly key: string
}

/** First waiters without a permit. Keys take turns, and a member does not know a key's turns elsewhere. */
export function keyLinesOf(entries: LedgerEntries): ReadonlyMap<KeyLine, readonly WaiterHead[]> {
  const lines = new Map<KeyLine, readonly WaiterHead[]>()
  for (const [member, entry] of entries) {
    const byKey = Map.groupBy(headsOf(entry), ({ key }) => key)
    for (const [key, heads] of byKey) lines.set({ member, key }, heads)
  }
  return lines
}

function underWay(entry: LedgerEntry): number {
  return entry.granted - entry.report.granted
}

/** Divides `total` into integers with exactly that sum (largest remainder, ties to the first), or all 0. */
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

/** Initial lease of a slot (from 0): `floor(total / workers)`, the remainder one each to the first. */
export function shareAt(slot: number, total: number, workers: number): number {
  if (slot >= workers) return 0
  return Math.floor(total / workers) + (slot < total % workers ? 1 : 0)
}

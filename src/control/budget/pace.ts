import type { PaceReport, PaceGrant } from '../../ipc/messages.ts'
import { serviceOrder, type WaiterHead } from '../../ipc/service-order.ts'
import type { LedgerEntry, BudgetSize, KeyLine } from './ledger-entry.ts'
import type { LedgerView } from './ledger-view.ts'

/*
 * UPSTREAM_MAX_REQUESTS_PER_MINUTE for the cluster: that many starts, each in one place.
 *
 *   free ──granted──▶ out ──sent──▶ cooling ──a minute later──▶ free
 *     ▲                └──returned──┐  ▲
 *     └─────────────────────────────┘  └── a worker that has died may have sent all that it had out
 *
 * A start counts from when the primary hears of it, which is later: the upstream never sees more in any minute. Starts
 * are granted only to requests that can go at once, in order of service over all workers, and by key: a worker does not
 * know what a key has had elsewhere.
 */

export interface PaceWindow {
  readonly ms: number
  /** Requests may arrive this much closer together than they were sent. */
  readonly marginMs: number
}

export const MINUTE: PaceWindow = { ms: 60_000, marginMs: 1_000 }

export interface CoolingStarts {
  readonly freeAt: number
  readonly count: number
}

export interface StartEntry {
  readonly granted: number
  /** Keys and times of the latest starts, which may still be on their way to the worker. */
  readonly turns: readonly { readonly key: string; readonly at: number }[]
  readonly told: PaceReport
}

export const NO_STARTS: StartEntry = {
  granted: 0,
  turns: [],
  told: { granted: 0, used: 0, returned: 0, extra: 0, ready: 0, keys: [] }
}

export function withPaceReport(
  starts: StartEntry,
  report: PaceReport | null
): { readonly starts: StartEntry; readonly sent: number } {
  const { told, granted, turns } = starts
  if (report === null) return { starts: { ...starts, told: { ...told, ready: 0 } }, sent: 0 }
  const unseen = granted - report.granted
  return {
    starts: { granted, told: report, turns: turns.slice(turns.length - unseen) },
    sent: report.used - told.used + report.extra - told.extra
  }
}

/** For a worker that is gone: all its starts count as sent. */
export function writeOff(starts: StartEntry): {
  readonly starts: StartEntry
  readonly sent: number
} {
  const sent = startsOut(starts)
  const told = { ...starts.told, used: starts.told.used + sent, ready: 0 }
  return { starts: { ...starts, turns: [], told }, sent }
}

/** Starts that are neither sent nor returned as far as is known. */
export function startsOut({ granted, told }: StartEntry): number {
  return granted - told.used - told.returned
}

export function startsUnderWay({ granted, told }: StartEntry): number {
  return granted - told.granted
}

/** Limits the list of start times, however many there are. */
const STEPS = 600

export function coolDown(
  cooling: readonly CoolingStarts[],
  {
    sent,
    now,
    window
  }: { readonly sent: number; readonly now: number; readonly window: PaceWindow }
): readonly CoolingStarts[] {
  const still = cooling.filter(({ freeAt }) => freeAt > now)
  if (sent <= 0) return still
  const stepMs = window.ms / STEPS
  const freeAt = Math.ceil((now + window.ms + window.marginMs) / stepMs) * stepMs
  const last = still.at(-1)
  if (last?.freeAt !== freeAt) return [...still, { freeAt, count: sent }]
  return [...still.slice(0, -1), { freeAt, count: last.count + sent }]
}

export function countFreeStarts(
  { maxRequestsPerMinute }: BudgetSize,
  cooling: readonly CoolingStarts[],
  entries: Iterable<LedgerEntry>
): number {
  if (maxRequestsPerMinute === null) return 0
  return Math.max(0, maxRequestsPerMinute - countUsedStarts(cooling, entries))
}

/** Out or cooling; may exceed the pace after it was lowered. */
export function countUsedStarts(
  cooling: readonly CoolingStarts[],
  entries: Iterable<LedgerEntry>
): number {
  let used = 0
  for (const { count } of cooling) used += count
  for (const { starts } of entries) used += startsOut(starts)
  return used
}

/** Most unconfirmed starts of one worker: they are in one message. */
const MOST_UNSEEN = 1_000
/** Limit while no other key is known to wait; a newcomer is then heard of in time. */
const MOST_UNSEEN_ALONE = 8

export function grantStarts(view: LedgerView, now: number): LedgerView {
  let left = view.freeStarts
  if (left === 0) return view
  const lines = linesOf(view)
  if (lines.size === 0) return view
  const next = new Map(view.entries)
  const isAlone = new Set(lines.keys().map(({ key }) => key)).size === 1
  const mostUnseen = isAlone ? MOST_UNSEEN_ALONE : MOST_UNSEEN
  for (const { member: line } of serviceOrder(lines)) {
    if (left === 0) break
    const entry = next.get(line.member)
    if (entry === undefined) continue
    const { granted, turns, told } = entry.starts
    if (turns.length >= Math.min(mostUnseen, told.ready)) continue
    left -= 1
    const starts = { granted: granted + 1, turns: [...turns, { key: line.key, at: now }], told }
    next.set(line.member, { ...entry, starts })
  }
  return view.with(next)
}

function linesOf({ entries, freeStarts }: LedgerView): Map<KeyLine, readonly WaiterHead[]> {
  const servedAt = new Map<string, number>()
  for (const { starts } of entries.values())
    for (const { key, at } of starts.turns) servedAt.set(key, Math.max(servedAt.get(key) ?? 0, at))
  const lines = new Map<KeyLine, readonly WaiterHead[]>()
  for (const [member, entry] of entries) {
    if (entry.hasStopped || entry.report.draining) continue
    if (entry.starts.told.ready <= entry.starts.turns.length) continue
    for (const { key, waiting } of entry.starts.told.keys) {
      const line = lineOf(entry, key, Math.min(waiting, freeStarts + MOST_UNSEEN))
      const served = servedAt.get(key) ?? 0
      const heads = line.map((head) => ({ ...head, served: Math.max(head.served, served) }))
      if (heads.length > 0) lines.set({ member, key }, heads)
    }
  }
  return lines
}

/** Waiters of a key without a granted start. Unreported ones count as old as the last reported one. */
function lineOf({ report, starts }: LedgerEntry, key: string, waiting: number): WaiterHead[] {
  const told = report.heads.filter((head) => head.key === key)
  const last = told.at(-1)
  if (last === undefined) return []
  const untold = Math.max(0, waiting - told.length)
  const taken = starts.turns.filter((turn) => turn.key === key).length
  return [...told, ...Array.from({ length: untold }, () => last)].slice(taken)
}

export function paceGrantFor(
  { maxRequestsPerMinute: limit }: BudgetSize,
  { slot, starts }: LedgerEntry
): PaceGrant | null {
  if (limit === null || typeof slot !== 'number') return null
  return { limit, granted: starts.granted, turns: starts.turns.map(({ key }) => key) }
}

export function isPaceNews(told: PaceGrant | null, grant: PaceGrant | null): boolean {
  return told?.limit !== grant?.limit || told?.granted !== grant?.granted
}

/** When starts become free by themselves; `null` if nothing is waited for. */
export function nextFreeAt({ cooling, freeStarts, entries }: LedgerView): number | null {
  const hasWorkers = entries.values().some(({ slot }) => slot !== 'control')
  return freeStarts > 0 || !hasWorkers ? null : (cooling[0]?.freeAt ?? null)
}

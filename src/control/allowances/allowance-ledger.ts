import {
  type AllowanceName,
  type AllowanceReport,
  type AllowanceGrant,
  type AllowanceStatus,
  type BookTrouble,
  isUsedUp,
  noReport
} from '../../ipc/allowance.ts'

/**
 * The primary's record of one allowance of a named key, as a pure state machine:
 *
 *   join ─▶ holding opened ──report──▶ (what was used, given back, is wanted) ──left──▶ all that it held is settled
 *
 * A part of the allowance is in exactly one place: free, held by one worker, or settled by workers that are gone. Held
 * is what was granted and not reported back, used or not. Hence settled + held never exceeds the limit, however late
 * messages are; only the limit may fall below it, and requests may cost more than was reserved for them. Then the
 * workers are asked for what they have to spare, and nothing is granted until it fits again.
 *
 * The worker whose request has waited longest gets everything that is free, then what the others can spare. Only when
 * they have answered is it told that there is no more.
 */

export interface AllowanceState {
  readonly name: AllowanceName
  readonly limit: number
  readonly period: number
  /** Epoch ms; `null` for never. */
  readonly endsAt: number | null
  /** Used in this period by workers that are gone. */
  readonly settled: number
  /** Part that this gateway may not hand out: of credits, everything not leased from the account book. */
  readonly away: number
  /** More may still arrive: waiters are not refused yet. */
  readonly mayCome: boolean
  readonly elsewhere: Elsewhere
  readonly holdings: ReadonlyMap<string, Holding>
}

/** Part of a limit that other gateways have, and trouble with the account book. */
export interface Elsewhere {
  readonly used: number
  /** Held by other gateways; used or held by those of a fleet. */
  readonly held: number
  readonly problem: BookTrouble | null
}

export const NOTHING_ELSEWHERE: Elsewhere = { used: 0, held: 0, problem: null }

export interface Holding {
  /** Total in this period. */
  readonly granted: number
  readonly report: AllowanceReport
  readonly grant: AllowanceGrant | null
  /** The worker reported on an old period, or a period began while requests wait there. */
  readonly isBehind: boolean
}

export type AllowanceEvent =
  /** Each process is a new member, also in its predecessor's slot. */
  | { readonly type: 'join'; readonly member: string }
  | { readonly type: 'report'; readonly member: string; readonly report: AllowanceReport }
  /** Everything that the process may have had counts as used, and `used` at least. */
  | { readonly type: 'left'; readonly member: string; readonly used: number }
  /** A changed limit, or a new period; periods only grow. */
  | ({ readonly type: 'limit' } & Pick<AllowanceState, 'limit' | 'period' | 'endsAt'> &
      Partial<Pick<AllowanceState, 'away'>>)
  | ({ readonly type: 'away' } & Pick<AllowanceState, 'away' | 'mayCome'> &
      Partial<Pick<AllowanceState, 'elsewhere'>>)

export interface AllowanceStep {
  readonly state: AllowanceState
  /** Grants by member; newer ones replace unsent ones. */
  readonly grants: ReadonlyMap<string, AllowanceGrant>
}

export function openAllowance(
  facts: Omit<AllowanceState, 'holdings' | 'settled' | 'away' | 'mayCome' | 'elsewhere'> &
    Partial<AllowanceState>
): AllowanceState {
  const elsewhere = NOTHING_ELSEWHERE
  return { settled: 0, away: 0, mayCome: false, elsewhere, ...facts, holdings: new Map() }
}

/** Ignores reports of unknown or former members, or of another period. */
export function nextAllowance(state: AllowanceState, event: AllowanceEvent): AllowanceStep {
  const view = divide(record(state, event), event.type === 'report' ? event.member : null)
  const plan = planRecall(view)
  const holdings = new Map(view.holdings)
  const news = new Map<string, AllowanceGrant>()
  for (const [member, holding] of view.holdings) {
    const grant = grantFor(view, member, plan)
    if (!isNews(holding, grant)) continue
    news.set(member, grant)
    holdings.set(member, { ...holding, grant, isBehind: false })
  }
  return { state: { ...view, holdings }, grants: news }
}

/** Sums what is known of all workers but one. */
export function sumsOf(
  { settled, elsewhere, holdings }: AllowanceState,
  but?: string
): {
  readonly used: number
  readonly reserved: number
} {
  let used = settled + elsewhere.used
  let reserved = 0
  for (const [member, { report }] of holdings) {
    if (member === but) continue
    used += report.used
    reserved += report.reserved
  }
  return { used, reserved }
}

function record(state: AllowanceState, event: AllowanceEvent): AllowanceState {
  if (event.type === 'limit') return begin(state, event)
  if (event.type === 'away') {
    const { away, mayCome, elsewhere = state.elsewhere } = event
    return { ...state, away, mayCome, elsewhere }
  }
  const holding = state.holdings.get(event.member)
  const holdings = new Map(state.holdings)
  switch (event.type) {
    case 'join':
      if (holding !== undefined) throw new Error(`${event.member} uses ${state.name} already`)
      holdings.set(event.member, newHolding(state.name, state.period))
      return { ...state, holdings }
    case 'report':
      if (holding === undefined || event.report.seq <= holding.report.seq) return state
      holdings.set(event.member, withReport(holding, event.report, state.period))
      return { ...state, holdings }
    case 'left':
      if (holding === undefined) return state
      holdings.delete(event.member)
      return { ...state, holdings, settled: state.settled + remainsOf(state, holding, event.used) }
  }
}

function newHolding(name: AllowanceName, period: number): Holding {
  return { granted: 0, report: noReport(name, period), grant: null, isBehind: false }
}

/** Grants what a request cost beyond its reservation: it was paid from the common rest. */
function withReport(holding: Holding, report: AllowanceReport, period: number): Holding {
  if (report.period !== period) {
    // The numbers belong to another period, but the order of waiters must be kept.
    const { seq, seen, isLast } = report
    const before = { ...holding.report, seq, seen, isLast }
    return {
      ...holding,
      report: before,
      granted: isLast ? spentOf(before) : holding.granted,
      isBehind: true
    }
  }
  const spent = spentOf(report)
  return { ...holding, report, granted: report.isLast ? spent : Math.max(holding.granted, spent) }
}

/** Part of its grants that a worker cannot spare. */
function spentOf({ used, reserved, returned }: AllowanceReport): number {
  return used + reserved + returned
}

function begin(
  state: AllowanceState,
  { limit, period, endsAt, away = state.away }: Extract<AllowanceEvent, { type: 'limit' }>
): AllowanceState {
  if (period < state.period) throw new Error(`${state.name} goes back to an old period`)
  if (period === state.period) return { ...state, limit, endsAt, away }
  const holdings = new Map<string, Holding>()
  for (const [member, { report, grant }] of state.holdings) {
    const { seq, seen, oldestAt } = report
    holdings.set(member, {
      granted: 0,
      report: { ...noReport(state.name, period), seq, seen },
      grant,
      isBehind: oldestAt !== null
    })
  }
  const elsewhere = { ...state.elsewhere, used: 0, held: 0 }
  return { ...state, limit, period, endsAt, away, elsewhere, settled: 0, holdings }
}

function remainsOf({ name }: AllowanceState, holding: Holding, used: number): number {
  return isUsedUp(name) ? Math.max(used, heldBy(holding)) : 0
}

/** Received and not given back. */
export function heldBy({ granted, report }: Holding): number {
  return granted - report.returned
}

/** Granted since its last report. */
function underWay({ granted, report }: Holding): number {
  return granted - report.used - report.reserved - report.returned - report.spare
}

/** Missing to its waiters when all grants have arrived. */
function lackOf(holding: Holding): number {
  return Math.max(0, holding.report.wanted - underWay(holding))
}

/** To spare when all grants have arrived and its waiters are served. */
function spareSoon(holding: Holding): number {
  const { oldestAt, spare, wanted } = holding.report
  return underWay(holding) + (oldestAt === null ? spare : -wanted)
}

/** Negative by what must come back. */
export function freeIn({ limit, away, settled, holdings }: AllowanceState): number {
  let free = limit - away - settled
  for (const holding of holdings.values()) free -= heldBy(holding)
  return free
}

/** Needed from other gateways; 0 while this one may have enough. */
export function needOf(state: AllowanceState): number {
  let need = -Math.max(0, freeIn(state))
  for (const holding of state.holdings.values()) {
    need += holding.report.oldestAt === null ? -Math.max(0, perhapsSpare(holding)) : lackOf(holding)
  }
  return Math.max(0, need)
}

/** Like `spareSoon()`, of all workers. */
export function spareIn({ holdings }: AllowanceState): number {
  return holdings.values().reduce((sum, holding) => sum + spareSoon(holding), 0)
}

/** Amounts in workers that are too small for their waiters. */
export function scrapsIn({ holdings }: AllowanceState): number {
  return holdings.values().reduce((sum, { report }) => sum + Math.max(0, report.spare), 0)
}

function* waiting({ holdings }: AllowanceState): Generator<readonly [string, Holding]> {
  const all = [...holdings].filter(([, { report }]) => report.oldestAt !== null)
  yield* all.toSorted(([, a], [, b]) => (a.report.oldestAt ?? 0) - (b.report.oldestAt ?? 0))
}

/** Grants to those who wait, then to the reporter, so that it need not ask so soon again. */
function divide(state: AllowanceState, reporter: string | null): AllowanceState {
  let free = freeIn(state)
  if (free <= 0) return state
  const holdings = new Map(state.holdings)
  for (const [member, holding] of waiting(state)) {
    const given = Math.min(free, lackOf(holding))
    free -= given
    holdings.set(member, { ...holding, granted: holding.granted + given })
  }
  const holding = reporter === null ? undefined : holdings.get(reporter)
  if (reporter !== null && holding !== undefined) {
    const ahead = aheadIn(state, holding)
    const spare = spareSoon(holding)
    const given = spare * 2 < ahead ? Math.min(free, ahead - Math.max(0, spare)) : 0
    if (given > 0) holdings.set(reporter, { ...holding, granted: holding.granted + given })
  }
  return { ...state, holdings }
}

/** Share of what is left that all workers hold ahead: ever less, so that little has to come back. */
const LEASED_AHEAD = 1 / 8

function aheadIn(state: AllowanceState, { report }: Holding): number {
  if (report.isLast) return 0
  const { used, reserved } = sumsOf(state)
  const { limit, away, elsewhere, holdings, name } = state
  const isCredits = name.endsWith('/credits') // more of them may be leased in the book
  const left = Math.max(0, limit - (isCredits ? elsewhere.held : away) - used - reserved)
  const most = Math.floor((left * LEASED_AHEAD) / Math.max(1, holdings.size))
  // Credits that a worker holds are lost when it dies.
  return isCredits ? Math.min(most, report.usual) : most
}

export function usualIn({ holdings }: AllowanceState): number {
  return holdings.values().reduce((most, { report }) => Math.max(most, report.usual), 0)
}

interface Recall {
  readonly amount: number
  readonly first: { readonly member: string; readonly at: number } | null
  /** The limit has fallen below what is out. */
  readonly isOwed: boolean
}

function planRecall(state: AllowanceState): Recall {
  const owed = Math.max(0, -freeIn(state))
  for (const [member, holding] of waiting(state)) {
    const lack = lackOf(holding)
    if (lack === 0) continue
    const first = { member, at: holding.report.oldestAt ?? 0 }
    return { amount: owed + lack, first, isOwed: owed > 0 }
  }
  return { amount: owed, first: null, isOwed: owed > 0 }
}

function grantFor(state: AllowanceState, member: string, recall: Recall): AllowanceGrant {
  const holding = state.holdings.get(member) ?? newHolding(state.name, state.period)
  const before = holding.grant
  const seq = (before?.seq ?? 0) + 1
  const isFirst = recall.first?.member === member
  const owed = isFirst ? Math.max(0, -freeIn(state)) : recall.amount
  const recalled = Math.min(heldBy(holding), owed)
  const isGoingOn = before?.period === state.period && before.asked !== 0
  const final = before?.period === state.period ? before.final : 0
  const { limit, endsAt, elsewhere } = state
  const { held, problem } = elsewhere
  return {
    name: state.name,
    seq,
    period: state.period,
    granted: holding.granted,
    returned: holding.report.returned,
    recalled,
    recalledFor: recalled === 0 || recall.isOwed ? null : (recall.first?.at ?? null),
    asked: recalled === 0 ? 0 : isGoingOn ? before.asked : seq,
    final: isFirst && isAllGiven(state, member) ? holding.report.seq : final,
    ahead: aheadIn(state, holding),
    status: {
      limit,
      endsAt,
      ...sumsOf(state, member),
      ...(held > 0 && { away: held }),
      ...(problem !== null && { problem })
    }
  }
}

function isAllGiven(state: AllowanceState, member: string): boolean {
  if (freeIn(state) > 0 || state.mayCome) return false
  for (const [other, holding] of state.holdings)
    if (other !== member && perhapsSpare(holding) > 0) return false
  return true
}

/** Everything that a worker holds, until it has answered. */
function perhapsSpare(holding: Holding): number {
  const { report, grant } = holding
  const hasAnswered = grant !== null && grant.asked !== 0 && report.seen >= grant.asked
  return hasAnswered ? report.spare : heldBy(holding)
}

/** Minute limits are frequent: a gateway that needs no more than its share stays silent. */
export function isShort(name: AllowanceName): boolean {
  return name.endsWith('/requests')
}

/** True if a worker would act wrongly without this message. */
function isNews({ grant: before, isBehind }: Holding, grant: AllowanceGrant): boolean {
  if (before === null) return true
  if (before.period !== grant.period) {
    // A worker that holds nothing asks first; it need not hear of minutes, which are many.
    return isBehind || before.granted > before.returned || !isShort(grant.name)
  }
  const { granted, final, ahead, status } = grant
  if (before.granted !== granted || before.final !== final) return true
  if (before.status.limit !== status.limit || before.status.endsAt !== status.endsAt) return true
  if (before.status.problem !== status.problem) return true
  if ((before.asked === 0) !== (grant.asked === 0) || before.recalledFor !== grant.recalledFor)
    return true
  if (before.returned + before.recalled !== grant.returned + grant.recalled && grant.recalled > 0)
    return true
  if (isShownOtherwise(grant.name, before.status, status)) return true
  return ahead * 2 < before.ahead || before.ahead * 2 < ahead
}

/** Part of a limit of credits that workers may show too much or too little of what others have used. */
const SHOWN_PART = 1 / 100

/** Clients are shown how much is used. New reservations of others alone are not told, as there may be many. */
function isShownOtherwise(
  name: AllowanceName,
  before: AllowanceStatus,
  { limit, used, reserved, away = 0 }: AllowanceStatus
): boolean {
  if (!name.endsWith('/credits')) return false
  const step = limit * SHOWN_PART
  const heldBefore = before.reserved + (before.away ?? 0)
  return used - before.used >= step || before.used + heldBefore - used - reserved - away >= step
}

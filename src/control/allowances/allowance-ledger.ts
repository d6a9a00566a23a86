import {
  type AllowanceName,
  type AllowanceReport,
  type AllowanceTerms,
  type BookTrouble,
  isUsedUp,
  noReport
} from '../../ipc/allowance.ts'

/**
 * The primary's record of one allowance of a named key, as a pure state machine:
 *
 *   join ─▶ stake opened ──report──▶ (what was used, given back, is wanted) ──left──▶ all that it held is settled
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
  readonly stakes: ReadonlyMap<string, Stake>
}

/** Part of a limit that other gateways have, and trouble with the account book. */
export interface Elsewhere {
  readonly used: number
  /** Held by other gateways; used or held by those of a fleet. */
  readonly held: number
  readonly problem: BookTrouble | null
}

export const NOTHING_ELSEWHERE: Elsewhere = { used: 0, held: 0, problem: null }

export interface Stake {
  /** Total in this period. */
  readonly granted: number
  readonly report: AllowanceReport
  readonly terms: AllowanceTerms | null
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
  | ({ readonly type: 'terms' } & Pick<AllowanceState, 'limit' | 'period' | 'endsAt'> &
      Partial<Pick<AllowanceState, 'away'>>)
  | ({ readonly type: 'away' } & Pick<AllowanceState, 'away' | 'mayCome'> &
      Partial<Pick<AllowanceState, 'elsewhere'>>)

export interface AllowanceStep {
  readonly state: AllowanceState
  /** Terms by member; newer ones replace unsent ones. */
  readonly terms: ReadonlyMap<string, AllowanceTerms>
}

export function openAllowance(
  facts: Omit<AllowanceState, 'stakes' | 'settled' | 'away' | 'mayCome' | 'elsewhere'> &
    Partial<AllowanceState>
): AllowanceState {
  const elsewhere = NOTHING_ELSEWHERE
  return { settled: 0, away: 0, mayCome: false, elsewhere, ...facts, stakes: new Map() }
}

/** Ignores reports of unknown or former members, or of another period. */
export function nextAllowance(state: AllowanceState, event: AllowanceEvent): AllowanceStep {
  const view = grant(record(state, event), event.type === 'report' ? event.member : null)
  const plan = planRecall(view)
  const stakes = new Map(view.stakes)
  const news = new Map<string, AllowanceTerms>()
  for (const [member, stake] of view.stakes) {
    const terms = termsFor(view, member, plan)
    if (!isNews(stake, terms)) continue
    news.set(member, terms)
    stakes.set(member, { ...stake, terms, isBehind: false })
  }
  return { state: { ...view, stakes }, terms: news }
}

/** Sums what is known of all workers but one. */
export function sumsOf(
  { settled, elsewhere, stakes }: AllowanceState,
  but?: string
): {
  readonly used: number
  readonly reserved: number
} {
  let used = settled + elsewhere.used
  let reserved = 0
  for (const [member, { report }] of stakes) {
    if (member === but) continue
    used += report.used
    reserved += report.reserved
  }
  return { used, reserved }
}

function record(state: AllowanceState, event: AllowanceEvent): AllowanceState {
  if (event.type === 'terms') return begin(state, event)
  if (event.type === 'away') {
    const { away, mayCome, elsewhere = state.elsewhere } = event
    return { ...state, away, mayCome, elsewhere }
  }
  const stake = state.stakes.get(event.member)
  const stakes = new Map(state.stakes)
  switch (event.type) {
    case 'join':
      if (stake !== undefined) throw new Error(`${event.member} uses ${state.name} already`)
      stakes.set(event.member, newStake(state.name, state.period))
      return { ...state, stakes }
    case 'report':
      if (stake === undefined || event.report.seq <= stake.report.seq) return state
      stakes.set(event.member, withReport(stake, event.report, state.period))
      return { ...state, stakes }
    case 'left':
      if (stake === undefined) return state
      stakes.delete(event.member)
      return { ...state, stakes, settled: state.settled + remainsOf(state, stake, event.used) }
  }
}

function newStake(name: AllowanceName, period: number): Stake {
  return { granted: 0, report: noReport(name, period), terms: null, isBehind: false }
}

/** Grants what a request cost beyond its reservation: it was paid from the common rest. */
function withReport(stake: Stake, report: AllowanceReport, period: number): Stake {
  if (report.period !== period) {
    // The numbers belong to another period, but the order of waiters must be kept.
    const { seq, seen, isLast } = report
    const before = { ...stake.report, seq, seen, isLast }
    return {
      ...stake,
      report: before,
      granted: isLast ? spentOf(before) : stake.granted,
      isBehind: true
    }
  }
  const spent = spentOf(report)
  return { ...stake, report, granted: report.isLast ? spent : Math.max(stake.granted, spent) }
}

/** Part of its grants that a worker cannot spare. */
function spentOf({ used, reserved, returned }: AllowanceReport): number {
  return used + reserved + returned
}

function begin(
  state: AllowanceState,
  { limit, period, endsAt, away = state.away }: Extract<AllowanceEvent, { type: 'terms' }>
): AllowanceState {
  if (period < state.period) throw new Error(`${state.name} goes back to an old period`)
  if (period === state.period) return { ...state, limit, endsAt, away }
  const stakes = new Map<string, Stake>()
  for (const [member, { report, terms }] of state.stakes) {
    const { seq, seen, oldestAt } = report
    stakes.set(member, {
      granted: 0,
      report: { ...noReport(state.name, period), seq, seen },
      terms,
      isBehind: oldestAt !== null
    })
  }
  const elsewhere = { ...state.elsewhere, used: 0, held: 0 }
  return { ...state, limit, period, endsAt, away, elsewhere, settled: 0, stakes }
}

function remainsOf({ name }: AllowanceState, stake: Stake, used: number): number {
  return isUsedUp(name) ? Math.max(used, heldBy(stake)) : 0
}

/** Received and not given back. */
export function heldBy({ granted, report }: Stake): number {
  return granted - report.returned
}

/** Granted since its last report. */
function underWay({ granted, report }: Stake): number {
  return granted - report.used - report.reserved - report.returned - report.spare
}

/** Missing to its waiters when all grants have arrived. */
function lackOf(stake: Stake): number {
  return Math.max(0, stake.report.wanted - underWay(stake))
}

/** To spare when all grants have arrived and its waiters are served. */
function spareSoon(stake: Stake): number {
  const { oldestAt, spare, wanted } = stake.report
  return underWay(stake) + (oldestAt === null ? spare : -wanted)
}

/** Negative by what must come back. */
export function freeIn({ limit, away, settled, stakes }: AllowanceState): number {
  let free = limit - away - settled
  for (const stake of stakes.values()) free -= heldBy(stake)
  return free
}

/** Needed from other gateways; 0 while this one may have enough. */
export function needOf(state: AllowanceState): number {
  let need = -Math.max(0, freeIn(state))
  for (const stake of state.stakes.values()) {
    need += stake.report.oldestAt === null ? -Math.max(0, perhapsSpare(stake)) : lackOf(stake)
  }
  return Math.max(0, need)
}

/** As `spareSoon()`, of all workers. */
export function spareIn({ stakes }: AllowanceState): number {
  return stakes.values().reduce((sum, stake) => sum + spareSoon(stake), 0)
}

/** Amounts in workers that are too small for their waiters. */
export function scrapsIn({ stakes }: AllowanceState): number {
  return stakes.values().reduce((sum, { report }) => sum + Math.max(0, report.spare), 0)
}

function* waiting({ stakes }: AllowanceState): Generator<readonly [string, Stake]> {
  const all = [...stakes].filter(([, { report }]) => report.oldestAt !== null)
  yield* all.toSorted(([, a], [, b]) => (a.report.oldestAt ?? 0) - (b.report.oldestAt ?? 0))
}

/** Grants to those who wait, then to the reporter, so that it need not ask so soon again. */
function grant(state: AllowanceState, reporter: string | null): AllowanceState {
  let free = freeIn(state)
  if (free <= 0) return state
  const stakes = new Map(state.stakes)
  for (const [member, stake] of waiting(state)) {
    const given = Math.min(free, lackOf(stake))
    free -= given
    stakes.set(member, { ...stake, granted: stake.granted + given })
  }
  const stake = reporter === null ? undefined : stakes.get(reporter)
  if (reporter !== null && stake !== undefined) {
    const ahead = aheadIn(state, stake)
    const spare = spareSoon(stake)
    const given = spare * 2 < ahead ? Math.min(free, ahead - Math.max(0, spare)) : 0
    if (given > 0) stakes.set(reporter, { ...stake, granted: stake.granted + given })
  }
  return { ...state, stakes }
}

/** Share of what is left that all workers hold ahead: ever less, so that little has to come back. */
const LEASED_AHEAD = 1 / 8

function aheadIn(state: AllowanceState, { report }: Stake): number {
  if (report.isLast) return 0
  const { used, reserved } = sumsOf(state)
  const { limit, away, elsewhere, stakes, name } = state
  const isCredits = name.endsWith('/credits') // more of them may be leased in the book
  const left = Math.max(0, limit - (isCredits ? elsewhere.held : away) - used - reserved)
  const most = Math.floor((left * LEASED_AHEAD) / Math.max(1, stakes.size))
  // Credits that a worker holds are lost when it dies.
  return isCredits ? Math.min(most, report.usual) : most
}

export function usualIn({ stakes }: AllowanceState): number {
  return stakes.values().reduce((most, { report }) => Math.max(most, report.usual), 0)
}

interface Recall {
  readonly amount: number
  readonly first: { readonly member: string; readonly at: number } | null
  /** The limit has fallen below what is out. */
  readonly isOwed: boolean
}

function planRecall(state: AllowanceState): Recall {
  const owed = Math.max(0, -freeIn(state))
  for (const [member, stake] of waiting(state)) {
    const lack = lackOf(stake)
    if (lack === 0) continue
    const first = { member, at: stake.report.oldestAt ?? 0 }
    return { amount: owed + lack, first, isOwed: owed > 0 }
  }
  return { amount: owed, first: null, isOwed: owed > 0 }
}

function termsFor(state: AllowanceState, member: string, recall: Recall): AllowanceTerms {
  const stake = state.stakes.get(member) ?? newStake(state.name, state.period)
  const before = stake.terms
  const seq = (before?.seq ?? 0) + 1
  const isFirst = recall.first?.member === member
  const owed = isFirst ? Math.max(0, -freeIn(state)) : recall.amount
  const recalled = Math.min(heldBy(stake), owed)
  const isGoingOn = before?.period === state.period && before.asked !== 0
  const final = before?.period === state.period ? before.final : 0
  const { limit, endsAt, elsewhere } = state
  const { held, problem } = elsewhere
  return {
    name: state.name,
    seq,
    period: state.period,
    granted: stake.granted,
    returned: stake.report.returned,
    recalled,
    recalledFor: recalled === 0 || recall.isOwed ? null : (recall.first?.at ?? null),
    asked: recalled === 0 ? 0 : isGoingOn ? before.asked : seq,
    final: isFirst && isAllGiven(state, member) ? stake.report.seq : final,
    ahead: aheadIn(state, stake),
    standing: {
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
  for (const [other, stake] of state.stakes)
    if (other !== member && perhapsSpare(stake) > 0) return false
  return true
}

/** Everything that a worker holds, until it has answered. */
function perhapsSpare(stake: Stake): number {
  const { report, terms } = stake
  const hasAnswered = terms !== null && terms.asked !== 0 && report.seen >= terms.asked
  return hasAnswered ? report.spare : heldBy(stake)
}

/** Minute limits are frequent: a gateway that needs no more than its share stays silent. */
export function isShort(name: AllowanceName): boolean {
  return name.endsWith('/requests')
}

/** True if a worker would act wrongly without this message. */
function isNews({ terms: before, isBehind }: Stake, terms: AllowanceTerms): boolean {
  if (before === null) return true
  if (before.period !== terms.period) {
    // A worker that holds nothing asks first; it need not hear of minutes, which are many.
    return isBehind || before.granted > before.returned || !isShort(terms.name)
  }
  const { granted, final, ahead, standing } = terms
  if (before.granted !== granted || before.final !== final) return true
  if (before.standing.limit !== standing.limit || before.standing.endsAt !== standing.endsAt)
    return true
  if (before.standing.problem !== standing.problem) return true
  if ((before.asked === 0) !== (terms.asked === 0) || before.recalledFor !== terms.recalledFor)
    return true
  if (before.returned + before.recalled !== terms.returned + terms.recalled && terms.recalled > 0)
    return true
  return ahead * 2 < before.ahead || before.ahead * 2 < ahead
}

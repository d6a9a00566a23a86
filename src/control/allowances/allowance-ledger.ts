import {
  type AllowanceName,
  type AllowanceReport,
  type AllowanceTerms,
  type BookTrouble,
  isUsedUp,
  noReport
} from '../../ipc/allowance.ts'

/*
 * The primary's record of one allowance of a named key, as a pure state machine:
 *
 *   join ─▶ stake opened ──report──▶ (what was used, given back, is wanted) ──left──▶ all that it held is settled
 *
 * A part of the allowance is in exactly one place: free, held by one worker, or settled by workers that are gone. Held
 * is what was granted and not reported back, used or not. Hence settled + held never exceeds the limit, however late
 * messages are; only the limit may fall below it, and requests may cost more than was reserved for them. Then the
 * workers are asked for what they have to spare, and nothing is granted until it fits again.
 *
 * The worker whose request has waited longest has everything that is free, then what the others can spare. Only when
 * they have answered is it told that there is no more.
 */

export interface AllowanceState {
  readonly name: AllowanceName
  readonly limit: number
  readonly period: number
  /** Epoch ms; `null` for never. */
  readonly endsAt: number | null
  /** Amount used in this period by workers that are gone. */
  readonly settled: number
  /** Part of the limit that this gateway may not hand out: of credits, all that it has not leased in the account book. */
  readonly away: number
  /** More may still arrive: waiters are not refused yet. */
  readonly mayCome: boolean
  /** Part of the limit that other gateways have used or hold. */
  readonly elsewhere: Elsewhere
  /** By member. */
  readonly stakes: ReadonlyMap<string, Stake>
}

/** Part of a limit that other gateways have, and the trouble of the account book. */
export interface Elsewhere {
  /** Used up, and settled in the book. */
  readonly used: number
  /** Held by other gateways; of those of a fleet, used or held. */
  readonly held: number
  readonly problem: BookTrouble | null
}

export const NOTHING_ELSEWHERE: Elsewhere = { used: 0, held: 0, problem: null }

/** Ledger entry of one worker. */
export interface Stake {
  /** Total in this period. */
  readonly granted: number
  readonly report: AllowanceReport
  readonly terms: AllowanceTerms | null
  /** Since then it has reported of an old period, or a new one has begun while requests wait there. */
  readonly isBehind: boolean
}

export type AllowanceEvent =
  /** A process uses this allowance. Each process is a member of its own, also in the slot of a predecessor. */
  | { readonly type: 'join'; readonly member: string }
  | { readonly type: 'report'; readonly member: string; readonly report: AllowanceReport }
  /** A process is gone: all that it may have had counts as used, and so much at least. */
  | { readonly type: 'left'; readonly member: string; readonly used: number }
  /** The key has another limit, or another period has begun; periods only grow. */
  | ({ readonly type: 'terms' } & Pick<AllowanceState, 'limit' | 'period' | 'endsAt'> &
      Partial<Pick<AllowanceState, 'away'>>)
  /** Another part of it may be handed out. */
  | ({ readonly type: 'away' } & Pick<AllowanceState, 'away' | 'mayCome'> &
      Partial<Pick<AllowanceState, 'elsewhere'>>)

export interface AllowanceStep {
  readonly state: AllowanceState
  /** Messages by member; a newer one replaces an unsent one. */
  readonly terms: ReadonlyMap<string, AllowanceTerms>
}

export function openAllowance(
  facts: Omit<AllowanceState, 'stakes' | 'settled' | 'away' | 'mayCome' | 'elsewhere'> &
    Partial<AllowanceState>
): AllowanceState {
  const elsewhere = NOTHING_ELSEWHERE
  return { settled: 0, away: 0, mayCome: false, elsewhere, ...facts, stakes: new Map() }
}

/** Reports of members that are unknown or have left, or of another period, are ignored. */
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

/** Sums used and held amounts, as far as is known; over all workers except the named one. */
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

/** A request that cost more than was reserved for it has been paid out of what others may have: that is granted now. */
function withReport(stake: Stake, report: AllowanceReport, period: number): Stake {
  if (report.period !== period) {
    // Its numbers belong to another period; who comes next must still be told from who came before.
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

/** A worker's use of what it was granted, without what it has to spare. */
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

/** Amount a worker received and has not given back. */
export function heldBy({ granted, report }: Stake): number {
  return granted - report.returned
}

/** Granted since its last report. */
function underWay({ granted, report }: Stake): number {
  return granted - report.used - report.reserved - report.returned - report.spare
}

/** Amount a worker's waiters lack when all grants have arrived. */
function lackOf(stake: Stake): number {
  return Math.max(0, stake.report.wanted - underWay(stake))
}

/** Amount a worker can spare when all grants have arrived and its waiters are served. */
function spareSoon(stake: Stake): number {
  const { oldestAt, spare, wanted } = stake.report
  return underWay(stake) + (oldestAt === null ? spare : -wanted)
}

/** Amount that no worker holds; negative by what must come back. */
export function freeIn({ limit, away, settled, stakes }: AllowanceState): number {
  let free = limit - away - settled
  for (const stake of stakes.values()) free -= heldBy(stake)
  return free
}

/** Amount that waiters here need from other gateways; 0 while this one may have enough. */
export function needOf(state: AllowanceState): number {
  let need = -Math.max(0, freeIn(state))
  for (const stake of state.stakes.values()) {
    need += stake.report.oldestAt === null ? -Math.max(0, perhapsSpare(stake)) : lackOf(stake)
  }
  return Math.max(0, need)
}

/** Amount the workers can spare when all grants have arrived and their waiters are served. */
export function spareIn({ stakes }: AllowanceState): number {
  return stakes.values().reduce((sum, stake) => sum + spareSoon(stake), 0)
}

/** Amount in workers that is too small for their waiters. */
export function scrapsIn({ stakes }: AllowanceState): number {
  return stakes.values().reduce((sum, { report }) => sum + Math.max(0, report.spare), 0)
}

/** Iterates over the waiting workers, the longest wait first. */
function* waiting({ stakes }: AllowanceState): Generator<readonly [string, Stake]> {
  const all = [...stakes].filter(([, { report }]) => report.oldestAt !== null)
  yield* all.toSorted(([, a], [, b]) => (a.report.oldestAt ?? 0) - (b.report.oldestAt ?? 0))
}

/** Grants what is free to those who wait, and then to the one that has reported, so that it need not ask so soon again. */
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

/** Workers hold this part of what is left, together: less and less of it, so that little has to come back. */
const LEASED_AHEAD = 1 / 8

function aheadIn(state: AllowanceState, { report }: Stake): number {
  if (report.isLast) return 0
  const { used, reserved } = sumsOf(state)
  const { limit, away, elsewhere, stakes, name } = state
  const isCredits = name.endsWith('/credits') // more of them may be leased in the book
  const left = Math.max(0, limit - (isCredits ? elsewhere.held : away) - used - reserved)
  const most = Math.floor((left * LEASED_AHEAD) / Math.max(1, stakes.size))
  // What a worker holds of credits is lost when it dies.
  return isCredits ? Math.min(most, report.usual) : most
}

/** Returns the highest pace that a worker has reported. */
export function usualIn({ stakes }: AllowanceState): number {
  return stakes.values().reduce((most, { report }) => Math.max(most, report.usual), 0)
}

/** Amount that must come back, and its receivers. */
interface Recall {
  readonly amount: number
  /** Member with the greatest need: the longest-waiting one that lacks something. */
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

/** Nothing is free, and no other worker has anything to spare. */
function isAllGiven(state: AllowanceState, member: string): boolean {
  if (freeIn(state) > 0 || state.mayCome) return false
  for (const [other, stake] of state.stakes)
    if (other !== member && perhapsSpare(stake) > 0) return false
  return true
}

/** All that a worker holds, until it has answered. */
function perhapsSpare(stake: Stake): number {
  const { report, terms } = stake
  const hasAnswered = terms !== null && terms.asked !== 0 && report.seen >= terms.asked
  return hasAnswered ? report.spare : heldBy(stake)
}

function isShort(name: AllowanceName): boolean {
  return name.endsWith('/requests')
}

/** True if a worker would act wrongly without this message. */
function isNews({ terms: before, isBehind }: Stake, terms: AllowanceTerms): boolean {
  if (before === null) return true
  if (before.period !== terms.period) {
    // A worker that holds nothing asks before it gives anything; of minutes, which are many, it need not hear.
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

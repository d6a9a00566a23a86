import { elapsedMs, type Instant } from '../shared/elapsed.ts'
import {
  isKnownTo,
  newSignInFacts,
  renewedFacts,
  type SignInFacts,
  type SignInPhase
} from './sign-in-record.ts'

/*
 * Decides which gateway of a fleet presents the single-use refresh token, and when. Pure.
 *
 *            take (acknowledged)                        renewed: gen + 1
 *   idle ───────────────────────▶ presenting ─────────────────────────────────▶ idle
 *    ▲  ▲                          │  │  │
 *    │  └─ nothing was presented ──┘  │  └─ refused for good ──▶ refused ──┐
 *    │                                └─ in doubt: the holder is gone, the │
 *    │                                   token of no use any more ──▶ take │  once for each turn, and loudly
 *    └───────────────── a new sign-in: gen + 1 ────────────────────────────┘
 *
 * Invariants: a token is presented only in an acknowledged turn and its time; by no gateway that has seen a higher
 * generation; a second time only in doubt.
 */

/** Times in ms, which follow from FLEET_LEASE. */
export interface RefreshTimes {
  readonly turnMs: number
  /** A token is presented only while this much of the turn is left. */
  readonly marginMs: number
  /** Time for others to contradict Valkey before it is believed. */
  readonly settleMs: number
}

const DEFAULT_LEASE_MS = 1_800_000
/** Gateways report what they know as soon as Valkey answers. */
const SETTLE_MS = 1_000

export function refreshTimes(leaseMs: number | null): RefreshTimes {
  const lease = leaseMs ?? DEFAULT_LEASE_MS
  return { turnMs: lease / 6, marginMs: lease / 30, settleMs: Math.min(SETTLE_MS, lease / 6) }
}

export interface SeenRecord {
  readonly run: string
  readonly rev: number
  /** `null` if empty or not ours. */
  readonly facts: SignInFacts | null
  /** Written by a later version: left alone. */
  readonly isNewer: boolean
  /** Damaged, or sealed with another secret. */
  readonly isForeign: boolean
  readonly since: Instant
  readonly runSince: Instant
}

interface Turn {
  readonly gen: number
  readonly fence: number
  readonly sentAt: Instant
  /** `asked`: not acknowledged yet. `lost`: presenting had no result, and the token may be spent. */
  readonly stage: 'asked' | 'granted' | 'presented' | 'lost'
}

export interface RefreshState {
  readonly self: string
  /** Highest generation whose tokens it has. */
  readonly own: SignInFacts | null
  /** Proof of its own files' content at the last look; '' before, and without a sign-in. */
  readonly filed: string
  readonly seen: SeenRecord | null
  readonly turn: Turn | null
  readonly lost: number
  /** Since when no gateway is missing; `null` while one is. */
  readonly openSince: Instant | null
}

export function newRefreshState(
  self: string,
  left: Pick<RefreshState, 'own' | 'filed'> = { own: null, filed: '' }
): RefreshState {
  return { self, ...left, seen: null, turn: null, lost: 0, openSince: null }
}

export type RefreshEvent =
  | ({ readonly type: 'seen'; readonly at: Instant } & Pick<
      SeenRecord,
      'run' | 'rev' | 'facts' | 'isNewer' | 'isForeign'
    >)
  | { readonly type: 'filed'; readonly proof: string }
  | { readonly type: 'fleet'; readonly isOpen: boolean; readonly at: Instant }
  | { readonly type: 'asked'; readonly facts: SignInFacts; readonly at: Instant }
  | { readonly type: 'granted' }
  /** The token may be spent from now on. */
  | { readonly type: 'presented' }
  | { readonly type: 'renewed'; readonly proof: string }
  /** The token is certainly unspent. */
  | { readonly type: 'unspent' }
  | { readonly type: 'refused' }
  /** The token may be spent, and no answer will come. */
  | { readonly type: 'lost' }

export function nextRefresh(state: RefreshState, event: RefreshEvent): RefreshState {
  const { own, turn } = state
  switch (event.type) {
    case 'seen':
      return afterSeen(state, event)
    case 'filed':
      return { ...state, filed: event.proof }
    case 'fleet':
      return { ...state, openSince: event.isOpen ? (state.openSince ?? event.at) : null }
    case 'asked':
      return { ...state, turn: turnOf(event) }
    case 'granted':
    case 'presented':
      return turn === null ? state : { ...state, turn: { ...turn, stage: event.type } }
    case 'lost':
      if (turn === null) return state
      return { ...state, turn: { ...turn, stage: 'lost' }, lost: state.lost + 1 }
    case 'renewed': {
      const isLate = own === null || own.gen !== turn?.gen
      return { ...state, own: isLate ? own : renewedFacts(own, event.proof), turn: null, lost: 0 }
    }
    case 'unspent':
    case 'refused': {
      const isLate = own === null || own.fence !== turn?.fence
      const phase = event.type === 'refused' ? 'refused' : 'idle'
      return { ...state, own: isLate ? own : inPhase(own, phase), turn: null, lost: 0 }
    }
  }
}

function turnOf({ facts, at }: Extract<RefreshEvent, { readonly type: 'asked' }>): Turn {
  return { gen: facts.gen, fence: facts.fence, sentAt: at, stage: 'asked' }
}

function afterSeen(
  state: RefreshState,
  { run, rev, facts, isNewer, isForeign, at }: Extract<RefreshEvent, { readonly type: 'seen' }>
): RefreshState {
  const before = state.seen?.run === run ? state.seen : null
  const since = before?.rev === rev ? before.since : at
  const runSince = before?.runSince ?? at
  const seen = { run, rev, facts, isNewer, isForeign, since, runSince }
  const isNews = facts !== null && (state.own === null || isAhead(facts, state.own))
  const lost = isNews && facts.holder !== state.self ? 0 : state.lost
  return { ...state, seen, own: isNews ? facts : state.own, lost }
}

/** The one in Valkey wins over a concurrent sign-in, so another token of the same generation is ahead, too. */
function isAhead(facts: SignInFacts, own: SignInFacts): boolean {
  if (facts.gen !== own.gen) return facts.gen > own.gen
  if (facts.proof !== own.proof) return true
  if (facts.fence !== own.fence) return facts.fence > own.fence
  return own.phase === 'presenting' && facts.phase !== 'presenting'
}

/** Facts to write to Valkey; `null` if it is up to date. */
export function publication({ own, seen }: RefreshState): SignInFacts | null {
  if (seen === null || seen.isNewer || own === null) return null
  return seen.facts !== null && isSame(seen.facts, own) ? null : own
}

/** Facts of a new sign-in in the own files. An unknown token counts only if files changed: it may be an old copy. */
export function newSignIn({ own, filed, seen }: RefreshState, proof: string): SignInFacts | null {
  if (seen === null || seen.isNewer || proof === '') return null
  if (own === null) return seen.isForeign ? null : newSignInFacts(null, proof)
  if (isKnownTo(own, proof)) return null
  const hasChanged = filed !== '' && filed !== proof
  return hasChanged || own.phase === 'refused' ? newSignInFacts(own, proof) : null
}

/** Two gateways that cannot read each other must not write as fast as they can. */
const FOREIGN_MS = 1_000

export function isHeldBack({ seen }: RefreshState, now: Instant): boolean {
  return seen !== null && seen.isForeign && watchedMs(seen.since, now) < FOREIGN_MS
}

export type TurnStep =
  /** Write the facts; present the token if Valkey acknowledges in time. */
  | { readonly type: 'take'; readonly facts: SignInFacts; readonly isSecond: boolean }
  /** Other gateways come first, or may know more. Ms until something changes; Infinity: only by news. */
  | { readonly type: 'wait'; readonly ms: number; readonly why: WaitReason }
  | { readonly type: 'refused' }

/** `doubt`: the token may be used up, and its successor lost. */
export type WaitReason = 'unread' | 'settling' | 'holder' | 'doubt'

export interface TurnSought {
  readonly now: Instant
  readonly isUseless: boolean
  readonly times: RefreshTimes
}

export function turnFor(state: RefreshState, sought: TurnSought): TurnStep {
  const { own, seen } = state
  const { now, isUseless, times } = sought
  if (own === null || seen === null || seen.isNewer || seen.facts === null) return UNREAD
  if (!isSame(seen.facts, own)) return UNREAD
  if (own.phase === 'refused') return { type: 'refused' }
  const unsettledMs = msUnsettled(state, seen, sought)
  if (unsettledMs > 0) return { type: 'wait', ms: unsettledMs, why: 'settling' }
  const facts = { ...inPhase(own, 'presenting'), holder: state.self, fence: own.fence + 1 }
  if (own.phase === 'idle' || isMineUnpresented(state, own)) {
    return { type: 'take', facts, isSecond: false }
  }
  const isMine = isTurnOfMine(state, own)
  const leftMs = isMine && isOver(state) ? 0 : times.turnMs - watchedMs(seen.since, now)
  if (leftMs > 0) return { type: 'wait', ms: leftMs, why: isMine ? 'doubt' : 'holder' }
  if (!isUseless) return { type: 'wait', ms: Infinity, why: 'doubt' }
  return { type: 'take', facts, isSecond: true }
}

const UNREAD: TurnStep = { type: 'wait', ms: Infinity, why: 'unread' }

/** Ms left to present a token in the granted turn; 0 forbids it. */
export function presentableMs({ turn, own }: RefreshState, now: Instant, times: RefreshTimes) {
  if (turn?.stage !== 'granted' || own?.fence !== turn.fence) return 0
  return Math.max(0, times.turnMs - times.marginMs - elapsedMs(turn.sentAt, now))
}

/** Others who know more report as soon as this run answers. While one is missing, it gets as long as a turn. */
function msUnsettled({ openSince }: RefreshState, seen: SeenRecord, sought: TurnSought): number {
  const { now, times } = sought
  const aloneMs = times.turnMs - watchedMs(seen.runSince, now)
  if (openSince === null) return aloneMs
  const allMs = Math.min(watchedMs(seen.runSince, now), watchedMs(openSince, now))
  return Math.min(aloneMs, times.settleMs - allMs)
}

/** Excludes time in which this machine slept, and clock changes. */
function watchedMs(since: Instant, now: Instant): number {
  return now.mono - since.mono
}

/** Only of this process, not of a later one of its name. */
export function isTurnOfMine({ self, turn }: RefreshState, own: SignInFacts): boolean {
  return own.holder === self && turn?.fence === own.fence
}

/** A turn of ours without effect: its acknowledgement was lost, or its time was over. */
function isMineUnpresented(state: RefreshState, own: SignInFacts): boolean {
  const stage = state.turn?.stage
  return isTurnOfMine(state, own) && (stage === 'asked' || stage === 'granted')
}

/** A gateway that loses turn after turn may have a bad connection: others then get theirs. */
const QUICK_TURNS = 3

/** Our turn can have no result any more, so its end need not be awaited. */
function isOver({ turn, lost }: RefreshState): boolean {
  return turn?.stage === 'lost' && lost <= QUICK_TURNS
}

function isSame(one: SignInFacts, other: SignInFacts): boolean {
  const { gen, proof, fence, phase } = one
  if (gen !== other.gen || proof !== other.proof) return false
  return fence === other.fence && phase === other.phase
}

function inPhase(facts: SignInFacts, phase: SignInPhase): SignInFacts {
  return { ...facts, phase }
}

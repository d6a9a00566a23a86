import { elapsedMs, type Instant } from '../shared/elapsed.ts'
import {
  isKnownTo,
  newSignInFacts,
  renewedFacts,
  type SignInFacts,
  type SignInPhase
} from './sign-in-record.ts'

/*
 * Decides which gateway of a fleet presents a refresh token, which works once, and when: a pure function over what one gateway
 * has seen of the record.
 *
 *            take (acknowledged)                        renewed: gen + 1
 *   idle ───────────────────────▶ presenting ─────────────────────────────────▶ idle
 *    ▲  ▲                          │  │  │
 *    │  └─ nothing was presented ──┘  │  └─ refused for good ──▶ refused ──┐
 *    │                                └─ in doubt: the holder is gone, the │
 *    │                                   token of no use any more ──▶ take │  once for each turn, and loudly
 *    └───────────────── a new sign-in: gen + 1 ────────────────────────────┘
 *
 * Invariants: a token is presented only under an acknowledged turn, and in its time; by no gateway that has seen a higher
 * generation; a second time only in doubt.
 */

/** All of them follow of FLEET_LEASE, in milliseconds. */
export interface RefreshTimes {
  /** A turn lasts so long, from when it was asked for. */
  readonly turnMs: number
  /** A token is presented while so much of it is left. */
  readonly marginMs: number
  /** Time that others have to contradict the engine before it is believed. */
  readonly settleMs: number
}

const DEFAULT_LEASE_MS = 1_800_000
/** Each gateway says what it knows as soon as it hears from an engine. */
const SETTLE_MS = 1_000

/** `null` is FLEET_LEASE=none. */
export function refreshTimes(leaseMs: number | null): RefreshTimes {
  const lease = leaseMs ?? DEFAULT_LEASE_MS
  return { turnMs: lease / 6, marginMs: lease / 30, settleMs: Math.min(SETTLE_MS, lease / 6) }
}

/** The record as the engine had it last. */
export interface SeenRecord {
  readonly run: string
  readonly rev: number
  /** `null` for nothing, and for what is none of ours. */
  readonly facts: SignInFacts | null
  /** It is of a later version: nothing is done about it. */
  readonly isNewer: boolean
  /** It is none of ours: damaged, or sealed with another secret. */
  readonly isForeign: boolean
  /** When this revision was seen first. */
  readonly since: Instant
  /** When this process of the engine was seen first. */
  readonly runSince: Instant
}

/** A turn of this gateway. */
interface Turn {
  readonly gen: number
  readonly fence: number
  /** When it was asked for: the others count from later. */
  readonly sentAt: Instant
  /** `asked`: the engine has not acknowledged it. `lost`: nothing more can come of presenting the token, which may be spent. */
  readonly stage: 'asked' | 'granted' | 'presented' | 'lost'
}

/** The knowledge of one gateway. */
export interface RefreshState {
  /** Its name. */
  readonly self: string
  /** The highest generation that it has the tokens of, as it saw it last. */
  readonly own: SignInFacts | null
  /** Proof of its own files' content at the last look; '' before that, and before the first sign-in. */
  readonly filed: string
  readonly seen: SeenRecord | null
  readonly turn: Turn | null
  /** Turns in a row that this gateway has lost. */
  readonly lost: number
  /** Time since which no gateway is missing in the fleet; `null` while one is. */
  readonly openSince: Instant | null
}

export function newRefreshState(
  self: string,
  left: Pick<RefreshState, 'own' | 'filed'> = { own: null, filed: '' }
): RefreshState {
  return { self, ...left, seen: null, turn: null, lost: 0, openSince: null }
}

export type RefreshEvent =
  /** The engine's record; only facts whose seal was opened count. */
  | ({ readonly type: 'seen'; readonly at: Instant } & Pick<
      SeenRecord,
      'run' | 'rev' | 'facts' | 'isNewer' | 'isForeign'
    >)
  /** The sign-in in the gateway's own files; '' for none. */
  | { readonly type: 'filed'; readonly proof: string }
  | { readonly type: 'fleet'; readonly isOpen: boolean; readonly at: Instant }
  /** A turn is asked for. */
  | { readonly type: 'asked'; readonly facts: SignInFacts; readonly at: Instant }
  /** The engine has acknowledged it. */
  | { readonly type: 'granted' }
  /** From now on the token may have been spent. */
  | { readonly type: 'presented' }
  /** The token service has given the next one, which the own files have by now. */
  | { readonly type: 'renewed'; readonly proof: string }
  /** It has not been spent, for certain. */
  | { readonly type: 'unspent' }
  | { readonly type: 'refused' }
  /** It may have been; who was asked says no more. */
  | { readonly type: 'lost' }

/** Pure. */
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
      return turn === null ? state : { ...state, turn: { ...turn, stage: 'granted' } }
    case 'presented':
      return turn === null ? state : { ...state, turn: { ...turn, stage: 'presented' } }
    case 'lost':
      if (turn === null) return state
      return { ...state, turn: { ...turn, stage: 'lost' }, lost: state.lost + 1 }
    case 'renewed': {
      // Another gateway may have signed in meanwhile, or got further.
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

/**
 * True if one is later than the other. Of two concurrent sign-ins the one in Valkey stays, so the same generation of
 * another token is ahead, too.
 */
function isAhead(facts: SignInFacts, own: SignInFacts): boolean {
  if (facts.gen !== own.gen) return facts.gen > own.gen
  if (facts.proof !== own.proof) return true
  if (facts.fence !== own.fence) return facts.fence > own.fence
  return own.phase === 'presenting' && facts.phase !== 'presenting'
}

/** Facts that the engine should be told, once `nextRefresh()` knows what it has; `null` if it is up to date. */
export function publication({ own, seen }: RefreshState): SignInFacts | null {
  if (seen === null || seen.isNewer || own === null) return null
  return seen.facts !== null && isSame(seen.facts, own) ? null : own
}

/**
 * The facts that follow where the token of this proof, which the own files hold now, is of a new sign-in; `null` if it is
 * not. One that is not known counts only where the files have changed, or where what there is does not work any more: it may
 * be an old copy.
 */
export function newSignIn({ own, filed, seen }: RefreshState, proof: string): SignInFacts | null {
  if (seen === null || seen.isNewer || proof === '') return null
  if (own === null) return seen.isForeign ? null : newSignInFacts(null, proof)
  if (isKnownTo(own, proof)) return null
  const hasChanged = filed !== '' && filed !== proof
  return hasChanged || own.phase === 'refused' ? newSignInFacts(own, proof) : null
}

/** Two who cannot read each other must not write as fast as they can. */
const FOREIGN_MS = 1_000

/** True if a record of another gateway is left alone for now. */
export function isHeldBack({ seen }: RefreshState, now: Instant): boolean {
  return seen !== null && seen.isForeign && watchedMs(seen.since, now) < FOREIGN_MS
}

export type TurnStep =
  /** Tell the engine so, and present the token if it acknowledges that in time. */
  | { readonly type: 'take'; readonly facts: SignInFacts; readonly isSecond: boolean }
  /** Others come first, or may have more to say. Something changes after so long, in milliseconds; Infinity: by news only. */
  | { readonly type: 'wait'; readonly ms: number; readonly why: WaitReason }
  /** The token service refused the token: it is dead. */
  | { readonly type: 'refused' }

/** `doubt`: the token may be used up, and its successor is lost. */
export type WaitReason = 'unread' | 'settling' | 'holder' | 'doubt'

export interface TurnSought {
  readonly now: Instant
  /** The access token is of no use any more: it has expired, or the upstream has refused it. */
  readonly isUseless: boolean
  readonly times: RefreshTimes
}

/** Decides whether this gateway may renew now. */
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

/** Remaining time, in milliseconds, to present a token under the granted turn; 0 forbids it. */
export function presentableMs({ turn, own }: RefreshState, now: Instant, times: RefreshTimes) {
  if (turn?.stage !== 'granted' || own?.fence !== turn.fence) return 0
  return Math.max(0, times.turnMs - times.marginMs - elapsedMs(turn.sentAt, now))
}

/**
 * Others who have seen more say so as soon as they hear from this process of the engine. While one of them is missing, it
 * is given as long as a turn.
 */
function msUnsettled({ openSince }: RefreshState, seen: SeenRecord, sought: TurnSought): number {
  const { now, times } = sought
  const aloneMs = times.turnMs - watchedMs(seen.runSince, now)
  if (openSince === null) return aloneMs
  const allMs = Math.min(watchedMs(seen.runSince, now), watchedMs(openSince, now))
  return Math.min(aloneMs, times.settleMs - allMs)
}

/** For how long something was watched: what does not pass while this machine sleeps, or when its clock is set. */
function watchedMs(since: Instant, now: Instant): number {
  return now.mono - since.mono
}

/** Returns whether this process has the turn; a later one of the same name does not. */
export function isTurnOfMine({ self, turn }: RefreshState, own: SignInFacts): boolean {
  return own.holder === self && turn?.fence === own.fence
}

/** A turn of ours of which nothing came: its acknowledgement was lost, or its time was over. */
function isMineUnpresented(state: RefreshState, own: SignInFacts): boolean {
  const stage = state.turn?.stage
  return isTurnOfMine(state, own) && (stage === 'asked' || stage === 'granted')
}

/** A gateway that loses one turn after the other may have a bad way to the token service: then others come to it. */
const QUICK_TURNS = 3

/** True if our turn can have no result any more, so that its end need not be awaited. */
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

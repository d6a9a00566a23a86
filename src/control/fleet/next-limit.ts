import {
  isFullFor,
  isToldIn,
  joinRegisters,
  type LimitRegister,
  type LimitSeat,
  type LimitSelf,
  partOf,
  rightOf,
  wantsIn,
  withGift,
  withGiftsOf,
  withHeritage,
  withSelf,
  withWant
} from '../../fleet/limit-register.ts'
import { type AllowanceName, isUsedUp } from '../../ipc/allowance.ts'
import {
  type AllowanceState,
  freeIn,
  isShort,
  needOf,
  scrapsIn,
  spareIn
} from '../allowances/allowance-ledger.ts'

/*
 * Decides what a gateway does about its share of a limit: what it keeps from its workers, and when it reads or writes
 * the shared record (`limit-register.ts`). Pure.
 *
 *                  news                    look                  answer
 *    known ─────────────────────▶ stale ──────────▶ reading ───────────────▶ known
 *    │   ▲                                          ▲     │
 *    │   │ written, or another was faster           │     │ no answer
 *    │   │                                     look │     │
 *    │   └────────────────── writing                │     ▼
 *    │                       ▲     │                └── away ◀─┐
 *    └───────────────────────┘     └──────────────────────────┘
 *       look: something to say           no answer: it may be written
 *
 * News during a read or write make the record stale afterwards. A new period makes the record unread, in every
 * state of the contact. Invariants: gifts in a register that may be written are kept from the workers before it is sent; nothing is used
 * before the gifts of earlier processes are known.
 */

export type LimitContact =
  | { readonly name: 'known' }
  /** Another gateway may have written. */
  | { readonly name: 'stale' }
  /** The last command had no answer: what is known may be old, and nothing can be asked of other gateways. */
  | { readonly name: 'away' }
  /** `isAway`: after a command without an answer. `isOvertaken`: there have been news since. */
  | { readonly name: 'reading'; readonly isAway: boolean; readonly isOvertaken: boolean }
  | { readonly name: 'writing'; readonly register: LimitRegister; readonly isOvertaken: boolean }

export interface LimitState {
  readonly contact: LimitContact
  /** `told`: has all that is known here; `untold`: Valkey lost something; `ahead`: of a period not begun here. */
  readonly record: 'unread' | 'told' | 'untold' | 'ahead'
  /** Record, and the knowledge before it. */
  readonly register: LimitRegister
  readonly inc: string
  readonly rev: number
  /** Kept from the workers, to be given. */
  readonly hold: number
  readonly idle: number
  /** When workers were asked last for what they have to spare, and for how much. */
  readonly probe: { readonly at: number; readonly wanted: number }
  readonly askedAt: number
  readonly neededAt: number
  readonly nextAt: number
}

/** Surroundings at one moment. */
export interface LimitView {
  readonly name: AllowanceName
  readonly member: string
  readonly replicas: number
  readonly self: LimitSelf | null
  /** True for an earlier process of this folder, whose use is known here. */
  readonly isOurs: (inc: string) => boolean
  readonly isFirst: boolean
  readonly isGone: (seat: LimitSeat) => boolean
  /** No earlier process can have given anything away in this minute. */
  readonly isSettled: boolean
  readonly now: number
}

export type LimitEvent =
  | { readonly type: 'period'; readonly period: number }
  /** The ledger has changed, or something that `withheldIn()` depends on. */
  | { readonly type: 'ledger'; readonly ledger: AllowanceState }
  /** Time to act: the ledger knows by now what is kept from it. */
  | { readonly type: 'look'; readonly ledger: AllowanceState }
  /** Another gateway, or this one, may have written. */
  | { readonly type: 'news' }
  /** Answer to a read, or to a write for which another gateway was faster. */
  | { readonly type: 'found'; readonly rev: number; readonly register: LimitRegister | null }
  | { readonly type: 'written'; readonly rev: number }
  | { readonly type: 'failed' }

export type LimitCommand =
  | { readonly type: 'read' }
  /** `ledger`: the one on which the register rests. */
  | { readonly type: 'write'; readonly register: LimitRegister; readonly ledger: AllowanceState }
  /** Look again after this time, and not at the one that was set before. */
  | { readonly type: 'wait'; readonly ms: number }
  /** Too many gateways of other names hold a share, so that none is left for this one. */
  | { readonly type: 'warn' }

export interface LimitStep {
  readonly state: LimitState
  readonly commands: readonly LimitCommand[]
}

const ASKING_MS = 300
/** Time without need after which demands are withdrawn. */
const CALM_MS = 1_000
/** While others need something, workers report spares for this long, at this interval. */
const [PROBE_MS, PROBE_EVERY_MS] = [50, 500]
const GAP_MS = 20
const RETRY_MS = 500
/** Part of the rightful share requested at once, so that not every request has to ask. */
const CHUNK = 1 / 8

export const NEW_LIMIT: LimitState = {
  contact: { name: 'known' },
  record: 'unread',
  register: { period: 0, seats: {} },
  inc: '',
  rev: 0,
  hold: 0,
  idle: 0,
  probe: { at: -Infinity, wanted: 0 },
  askedAt: -Infinity,
  neededAt: -Infinity,
  nextAt: -Infinity
}

/** Pure. */
export function nextLimit(before: LimitState, event: LimitEvent, view: LimitView): LimitStep {
  const state = { ...before, inc: incOf(before, view) }
  switch (event.type) {
    case 'period':
      return silent(begin(state, event.period))
    case 'ledger':
      return keepBack(state, event.ledger, view)
    case 'look':
      return look(state, event.ledger, view)
    case 'news':
      return silent({ ...state, contact: staleContact(state.contact) })
    case 'found':
      return silent(withFound(answered(state, view), event))
    case 'written':
      return silent(withWritten(answered(state, view), state.contact, event.rev))
    case 'failed':
      return silent(withoutAnswer(state, view))
  }
}

/** Amounts of the limit that the ledger must not grant, and whether more may still come from other gateways. */
export function withheldIn(
  state: LimitState,
  limit: number,
  view: LimitView
): Pick<AllowanceState, 'away' | 'mayCome'> {
  const part = Math.max(0, Math.min(limit, shareOf(state, limit, view)))
  return { away: limit - part + Math.min(part, state.hold), mayCome: mayCome(state, view) }
}

function silent(state: LimitState): LimitStep {
  return { state, commands: [] }
}

/** True until the gifts of earlier processes are known, before which nothing may be used. */
function mustRead({ record }: LimitState, { name, isSettled }: LimitView): boolean {
  return record === 'unread' && (!isShort(name) || !isSettled)
}

/** True if the seat is ours. That of an earlier process is so once it was written anew: a gift of that one may still arrive. */
function isSeated(state: LimitState, view: LimitView): boolean {
  const inc = state.register.seats[view.member]?.inc
  return inc !== undefined && inc === incOf(state, view)
}

function incOf({ register, inc }: LimitState, { self, member }: LimitView): string {
  return self === null || register.seats[member] === undefined ? inc : self.inc
}

function isAway({ contact }: LimitState): boolean {
  return contact.name === 'away' || (contact.name === 'reading' && contact.isAway)
}

function mayCome(state: LimitState, view: LimitView): boolean {
  if (isAway(state) || isFullFor(state.register, view.member)) return false
  if (mustRead(state, view) || !(isSeated(state, view) || isShort(view.name))) return true
  return wantOf(state, view) === 0 || view.now - state.askedAt < ASKING_MS
}

function wantOf({ register }: LimitState, { member }: LimitView): number {
  return register.seats[member]?.want ?? 0
}

/** Without Valkey the rightful share, unless more is known, or an earlier process may have given it away. */
function shareOf(state: LimitState, limit: number, view: LimitView): number {
  const { register, contact } = state
  const { member, replicas, isFirst } = view
  const size = { limit, replicas }
  if (isSeated(state, view)) {
    const part = partOf(register, member, size)
    return contact.name === 'writing'
      ? Math.min(part, partOf(contact.register, member, size))
      : part
  }
  const hasSeat = register.seats[member] !== undefined // of an earlier process, which may have given some of it
  const isKnown = isShort(view.name) ? !hasSeat && !mustRead(state, view) : isAway(state) && isFirst
  return isKnown ? rightOf(replicas - 1, size) : 0
}

function begin(state: LimitState, period: number): LimitState {
  if (period < state.register.period) return state // a clock that was set back
  return {
    ...state,
    record: 'unread',
    register: { period, seats: {} },
    hold: 0,
    askedAt: -Infinity
  }
}

/** Keeps back what others need, as far as it is unneeded here or exceeds our rightful share. */
function keepBack(state: LimitState, ledger: AllowanceState, view: LimitView): LimitStep {
  const { limit } = ledger
  const need = needOf(ledger)
  const share = Math.max(0, shareOf(state, limit, view))
  const others = receiversIn(state, ledger, view)
  const wanted = others.reduce((sum, { want }) => sum + want, 0)
  const owed = others.reduce((sum, { due }) => sum + due, 0)
  const mayProbe = wanted > 0 && need === 0
  const probe = mayProbe ? probeFor(state, wanted, view.now) : endOf(state.probe, need, view.now)
  const isProbing = mayProbe && view.now - probe.at < PROBE_MS
  const spare = need > 0 ? scrapsIn(ledger) : spareIn(ledger)
  const idle = isProbing ? wanted : Math.max(0, state.hold + freeIn(ledger) + spare)
  const over = isUsedUp(view.name) ? 0 : Math.max(0, share - Math.ceil(limit / view.replicas))
  const hold = Math.min(share, Math.max(Math.min(wanted, idle), Math.min(owed, over)))
  const neededAt = need > 0 ? view.now : state.neededAt
  return {
    state: { ...state, probe, idle, hold, neededAt },
    commands: mayProbe ? [{ type: 'wait', ms: isProbing ? PROBE_MS : PROBE_EVERY_MS }] : []
  }
}

/** Workers tell what they have to spare while something is kept back: for a moment all is, now and then. */
function probeFor({ probe }: LimitState, wanted: number, now: number): LimitState['probe'] {
  const isDue = wanted > probe.wanted || now - probe.at > PROBE_EVERY_MS
  return isDue ? { at: now, wanted } : probe
}

/** Ends a probe that has shown a need of our own: once more at once would show the same, for ever. */
function endOf(probe: LimitState['probe'], need: number, now: number): LimitState['probe'] {
  return need > 0 ? { ...probe, at: Math.min(probe.at, now - PROBE_MS) } : probe
}

/** Receivers of gifts. If all lack credits, the first by name gets everything. */
function receiversIn({ register }: LimitState, ledger: AllowanceState, view: LimitView) {
  const { member, replicas, isGone } = view
  const isLacking = isUsedUp(ledger.name) && needOf(ledger) > 0
  return wantsIn(register, member, { limit: ledger.limit, replicas }).filter(
    ({ name, seat }) => !isGone(seat) && (!isLacking || name < member)
  )
}

function look(state: LimitState, ledger: AllowanceState, view: LimitView): LimitStep {
  const { contact, nextAt } = state
  const isBusy = contact.name === 'reading' || contact.name === 'writing'
  if (isBusy || view.self === null) return silent(state)
  if (view.now < nextAt) return { state, commands: [{ type: 'wait', ms: nextAt - view.now }] }
  if (contact.name !== 'known' || mustRead(state, view)) {
    const reading = {
      name: 'reading',
      isAway: contact.name === 'away',
      isOvertaken: false
    } as const
    return { state: { ...state, contact: reading }, commands: [{ type: 'read' }] }
  }
  const isConcerned = hasAnyHolding(state, ledger, view)
  const warning: LimitCommand[] =
    isConcerned && isFullFor(state.register, view.member) ? [{ type: 'warn' }] : []
  const register = isConcerned ? registerToTell(state, ledger, view) : null
  if (register === null) {
    const isAsking = wantOf(state, view) > 0
    return {
      state,
      commands: isAsking ? [...warning, { type: 'wait', ms: ASKING_MS / 2 }] : warning
    }
  }
  const asksForMore = wantOf({ ...state, register }, view) > wantOf(state, view)
  return {
    state: {
      ...state,
      contact: { name: 'writing', register, isOvertaken: false },
      askedAt: asksForMore ? view.now : state.askedAt
    },
    commands: [...warning, { type: 'write', register, ledger }]
  }
}

/** False if this gateway has no seat and needs none, or cannot say anything about the record's period. */
function hasAnyHolding(state: LimitState, ledger: AllowanceState, view: LimitView): boolean {
  if (state.record === 'ahead' || ledger.period !== state.register.period) return false
  const hasSeat = state.register.seats[view.member] !== undefined
  return !isShort(view.name) || needOf(ledger) > 0 || state.hold > 0 || hasSeat
}

/** Returns the record as it should be, or `null` if it is like that. */
function registerToTell(
  state: LimitState,
  ledger: AllowanceState,
  view: LimitView
): LimitRegister | null {
  const { name, member, replicas, self, isOurs, isGone } = view
  if (self === null) return null
  const size = { limit: ledger.limit, replicas }
  const need = needOf(ledger)
  let next = withSelf(state.register, member, { self, size, isKnown: isOurs })
  if (need > 0 && !isUsedUp(name)) next = withHeritage(next, member, { size, isGone })
  next = withGifts(next, { state, ledger, view })
  next = withWant(next, member, wishFor(state, ledger, view))
  return next === state.register && state.record !== 'untold' ? null : next
}

/** First what is due to others, then what is idle here. */
function withGifts(
  register: LimitRegister,
  {
    state,
    ledger,
    view
  }: { readonly state: LimitState; readonly ledger: AllowanceState; readonly view: LimitView }
): LimitRegister {
  let next = register
  let left = state.hold + Math.min(0, freeIn(ledger))
  let { idle } = state
  const give = (to: string, most: number): void => {
    const amount = Math.max(0, Math.min(left, most))
    next = withGift(next, { from: view.member, to, amount })
    left -= amount
    idle -= amount
  }
  const others = receiversIn(state, ledger, view)
  for (const { name, due } of others) give(name, due)
  for (const { name, want, due } of others) give(name, Math.min(idle, want - due))
  return next
}

function wishFor(state: LimitState, ledger: AllowanceState, view: LimitView): number {
  const { limit } = ledger
  const need = needOf(ledger)
  const asked = wantOf(state, view)
  if (need === 0) return view.now - state.neededAt < CALM_MS ? asked : 0
  const chunk = isUsedUp(view.name) ? Math.ceil((limit / view.replicas) * CHUNK) : 0
  return asked >= need ? asked : Math.min(limit, Math.max(need, chunk))
}

function staleContact(contact: LimitContact): LimitContact {
  if (contact.name === 'reading' || contact.name === 'writing')
    return { ...contact, isOvertaken: true }
  return contact.name === 'away' ? contact : { name: 'stale' }
}

function answered(state: LimitState, { now }: LimitView): LimitState {
  const { contact } = state
  const isOvertaken = 'isOvertaken' in contact && contact.isOvertaken
  return {
    ...state,
    contact: { name: isOvertaken ? 'stale' : 'known' },
    nextAt: Math.max(state.nextAt, now + GAP_MS)
  }
}

function withFound(
  state: LimitState,
  { rev, register: found }: { readonly rev: number; readonly register: LimitRegister | null }
): LimitState {
  const { register } = state
  return {
    ...state,
    rev,
    record: isAhead(found, register) ? 'ahead' : isToldIn(register, found) ? 'told' : 'untold',
    register: found?.period === register.period ? joinRegisters(register, found) : register
  }
}

function isAhead(found: LimitRegister | null, { period }: LimitRegister): boolean {
  return found !== null && found.period > period
}

function withWritten(state: LimitState, contact: LimitContact, rev: number): LimitState {
  const written = contact.name === 'writing' ? contact.register : state.register
  const register = written.period === state.register.period ? written : state.register // or another has begun
  return { ...state, rev, record: 'told', register }
}

/** Counts as given whatever may have been written: others may have read it before Valkey lost it. */
function withoutAnswer(state: LimitState, { member, now }: LimitView): LimitState {
  const { contact, register } = state
  return {
    ...state,
    contact: { name: 'away' },
    nextAt: now + RETRY_MS,
    register:
      contact.name === 'writing' ? withGiftsOf(register, contact.register, member) : register
  }
}

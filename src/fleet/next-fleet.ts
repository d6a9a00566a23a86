import {
  eraNumber,
  type FleetEntry,
  type FleetMembers,
  type FleetState,
  permitsOf,
  grantableIn,
  MAX_ENDED,
  MAX_MEMBERS,
  sharesOf,
  sumOfLeases
} from './fleet-state.ts'

/*
 * Events of a fleet, as a pure function. A writer has read the register, applies events, and writes unless another
 * member was faster.
 *
 *              lost                    all are accounted for, or watched for long enough
 *   (nothing) ──────▶ learning ──────────────────────────────────────────────────────────▶ open
 *       ▲               │  enter with a lease: cap goes up                                   │
 *       └──── lost ─────┴──────────────────────────── lost ──────────────────────────────────┘
 *
 * Invariants: open ⇒ leases add up to at most `max` (after it was lowered they only fall); learning ⇒ to at most `cap`,
 * the sum of all claims. A lease leaves the register only by what the member returned, by proof that its sockets are
 * gone, or because it must have closed them by now.
 */

export type FleetEvent =
  | EnterEvent
  | ({ readonly type: 'report'; readonly inc: string } & ReportedFacts)
  /** Silent for a while: no grants until they report. */
  | { readonly type: 'hush'; readonly incs: readonly string[] }
  | { readonly type: 'lapse'; readonly incs: readonly string[] }
  /** Watched long enough: members that have not entered this era have closed everything. */
  | { readonly type: 'watched' }
  | { readonly type: 'leave'; readonly inc: string }
  /** Confirmed by an operator, like `forget`: no other gateway that could have permits is alive. */
  | { readonly type: 'open' }
  | { readonly type: 'forget'; readonly name: string }

export interface ReportedFacts {
  readonly max: number
  readonly replicas: number
  readonly returned: number
  readonly want: number
  readonly waitedMs: number
  /** True for a member that returns everything: nothing may be granted to it again. */
  readonly isLeaving: boolean
  readonly ended: readonly string[]
}

/** New, or claiming what it had in an earlier era. */
export interface EnterEvent extends Pick<ReportedFacts, 'max' | 'replicas' | 'ended'> {
  readonly type: 'enter'
  readonly inc: string
  readonly name: string
  readonly granted: number
  readonly returned: number
  readonly known: Readonly<Record<string, string>>
}

export interface NewEra {
  readonly run: string
  readonly check: string
  readonly by: string
  readonly rev: number
  readonly lastEra: string
}

export function newEra({ run, check, by, rev, lastEra }: NewEra): FleetState {
  return {
    v: 2,
    check,
    run,
    era: `${eraNumber(lastEra) + 1}.${by}.${rev}`,
    rev,
    phase: 'learning',
    cap: 0,
    max: 0,
    replicas: 1,
    awaited: {},
    members: {}
  }
}

/** Increases the revision. Inapplicable events change nothing. */
export function nextFleet(state: FleetState, events: readonly FleetEvent[]): FleetState {
  let next = state
  for (const event of events) next = apply(next, event)
  return { ...settle(next), rev: state.rev + 1 }
}

function apply(state: FleetState, event: FleetEvent): FleetState {
  switch (event.type) {
    case 'enter':
      return enter(state, event)
    case 'report':
      return report(state, event)
    case 'hush':
      return changeAll(state, event.incs, (entry) => ({ ...entry, want: 0, isQuiet: true }))
    case 'lapse':
      return without(state, event.incs)
    case 'watched':
    case 'open':
      return { ...state, phase: 'open', cap: 0, awaited: {} }
    case 'leave':
      return without(state, [event.inc])
    case 'forget': {
      const named = Object.entries(state.members).filter(([, { name }]) => name === event.name)
      const awaited = Object.entries(state.awaited).filter(([, name]) => name === event.name)
      return without(
        state,
        [...named, ...awaited].map(([inc]) => inc)
      )
    }
  }
}

/** While learning every claim is believed. An open fleet admits a latecomer if its permits fit. */
function enter(state: FleetState, event: EnterEvent): FleetState {
  if (state.members[event.inc] !== undefined) return state
  const { inc, name, max, replicas, granted, returned, ended } = event
  const lease = granted - returned
  const gone = without(state, ended)
  const { members, phase } = gone
  if (Object.keys(members).length >= MAX_MEMBERS) return state
  if (phase === 'open' && lease > 0 && sumOfLeases(members) + lease > gone.max) return state
  const entry: FleetEntry = {
    name,
    max,
    replicas,
    granted,
    returned,
    want: 0,
    waitedMs: 0,
    isQuiet: false,
    ended: ended.slice(-MAX_ENDED)
  }
  return {
    ...gone,
    cap: phase === 'learning' ? gone.cap + lease : 0,
    awaited: phase === 'learning' ? { ...gone.awaited, ...event.known } : {},
    members: { ...members, [inc]: entry }
  }
}

function report(state: FleetState, event: Extract<FleetEvent, { readonly type: 'report' }>) {
  const { inc, max, replicas, returned, want, waitedMs, isLeaving, ended } = event
  const changed = changeAll(state, [inc], (entry) => ({
    ...entry,
    max,
    replicas,
    want,
    waitedMs,
    returned: Math.max(entry.returned, Math.min(returned, entry.granted)),
    isQuiet: isLeaving,
    ended: ended.slice(-MAX_ENDED)
  }))
  return without(
    changed,
    ended.filter((one) => one !== inc)
  )
}

function changeAll(
  state: FleetState,
  incs: readonly string[],
  change: (entry: FleetEntry) => FleetEntry
): FleetState {
  const members = { ...state.members }
  for (const inc of incs) {
    const entry = members[inc]
    if (entry !== undefined) members[inc] = change(entry)
  }
  return { ...state, members }
}

function without(state: FleetState, incs: readonly string[]): FleetState {
  if (!incs.some((inc) => inc in state.members || inc in state.awaited)) return state
  return { ...state, members: omit(state.members, incs), awaited: omit(state.awaited, incs) }
}

function omit<T>(record: Readonly<Record<string, T>>, names: readonly string[]): Record<string, T> {
  return Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)))
}

function settle(state: FleetState): FleetState {
  const { members } = state
  const entries = Object.values(members)
  const max = entries.length === 0 ? state.max : Math.min(...entries.map((one) => one.max))
  const replicas =
    entries.length === 0 ? state.replicas : Math.max(...entries.map((one) => one.replicas))
  const awaited = stillAwaited(state)
  let { phase } = state
  if (phase === 'learning' && Object.keys(awaited).length === 0) {
    const names = new Set(entries.map(({ name }) => name))
    if (names.size >= replicas) phase = 'open'
  }
  const settled = { ...state, max, replicas, awaited, phase, cap: phase === 'open' ? 0 : state.cap }
  return { ...settled, members: grant(settled) }
}

function stillAwaited({ awaited, members }: FleetState): FleetState['awaited'] {
  const incs = Object.keys(awaited)
  if (incs.length === 0) return awaited
  const accounted = new Set(Object.entries(members).flatMap(([inc, { ended }]) => [inc, ...ended]))
  return omit(
    awaited,
    incs.filter((inc) => accounted.has(inc))
  )
}

/** Free permits go to members in want, by smallest part of the share, then longest wait, then to the others. */
function grant(state: FleetState): FleetMembers {
  let free = grantableIn(state) - sumOfLeases(state.members)
  if (free <= 0) return state.members
  const shares = sharesOf(state)
  const lines = Object.entries(state.members).flatMap(([inc, entry]) => {
    const share = shares.get(inc) ?? 0
    return entry.isQuiet ? [] : [{ inc, entry, share, lease: permitsOf(entry), granted: 0 }]
  })
  const give = (isServed: (line: (typeof lines)[number]) => boolean): void => {
    for (; free > 0; free -= 1) {
      let first: (typeof lines)[number] | null = null
      for (const line of lines) {
        if (isServed(line)) continue
        if (first === null || goesBefore(line, first)) first = line
      }
      if (first === null) return
      first.lease += 1
      first.granted += 1
    }
  }
  give(({ entry, granted }) => granted >= entry.want)
  give(({ share, lease }) => lease >= share)
  const members = { ...state.members }
  for (const { inc, entry, granted } of lines) {
    if (granted === 0) continue
    const want = Math.max(0, entry.want - granted)
    members[inc] = { ...entry, granted: entry.granted + granted, want }
  }
  return members
}

interface Line {
  readonly entry: FleetEntry
  readonly share: number
  readonly lease: number
}

/** Compares with one permit more, so that of two members without any the one with the larger share comes first. */
function goesBefore(one: Line, other: Line): boolean {
  const byShare = (one.lease + 1) * other.share - (other.lease + 1) * one.share
  if (byShare !== 0) return byShare < 0
  return one.entry.waitedMs > other.entry.waitedMs
}

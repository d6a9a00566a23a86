import type { FleetTimes, Instant, TermStage } from '../shared/elapsed.ts'
import { type FleetEntry, type FleetState, MAX_ENDED } from './fleet-state.ts'
import type { FleetWatch } from './fleet-watch.ts'
import type { EnterEvent, FleetEvent, ReportedFacts } from './next-fleet.ts'

/**
 * Stage of a member:
 *
 * ```
 *   joining ──entered, first beat confirmed──▶ serving ◀──beat confirmed──┐
 *      ▲                                        │  └──none for long──▶ closing
 *      │                                        ▼                         │
 *      └──all sockets gone, new incarnation── cut ◀──none for longer──────┘     (or it was put out)
 * ```
 */
export type FleetStage = 'joining' | TermStage

export type FleetRefusal = 'newer' | 'foreign' | 'name' | 'full'

export interface CoreOptions {
  readonly name: string
  readonly max: number
  readonly replicas: number
  readonly check: string
  readonly times: FleetTimes
  readonly createInc: () => string
  /** Incarnations whose sockets are certainly gone. */
  readonly ended: readonly string[]
  /** Names by incarnation when a process of this replica last looked. */
  readonly known: Readonly<Record<string, string>>
  /** Only one process can have our name: any other has ended. */
  readonly isSole: boolean
}

export interface Self extends ReportedFacts {
  readonly inc: string
  readonly name: string
  readonly granted: number
  readonly known: Readonly<Record<string, string>>
  readonly isSole: boolean
}

export interface Told {
  readonly events: readonly FleetEvent[]
  readonly expects: Readonly<Record<string, string>>
}

export const NOTHING: Told = { events: [], expects: {} }
/** Each change of the register costs every member a look, so wants are told at most this often. */
export const GAP_MS = 10

/** News of an entered member about itself, and about others that it has watched. */
export function newsOf({
  state,
  self,
  watch,
  toldAt,
  now
}: {
  readonly state: FleetState
  readonly self: Self
  readonly watch: FleetWatch
  readonly toldAt: number
  readonly now: Instant
}): Told {
  const entry = state.members[self.inc]
  if (entry === undefined) return NOTHING
  const events: FleetEvent[] = []
  const isWantTold = isWantNews(entry, self.want) && now.mono >= toldAt + GAP_MS
  if (isWantTold || isNews(entry, self)) events.push(reportEvent(self))
  const { lapsed, hushed } = watch.silent(state, self.inc, now)
  if (lapsed.length > 0) events.push({ type: 'lapse', incs: lapsed })
  if (hushed.length > 0) events.push({ type: 'hush', incs: hushed })
  if (state.phase === 'learning' && watch.isEraWatched(state.era, now)) {
    events.push({ type: 'watched' })
  }
  return { events, expects: watch.beatsOf(lapsed) }
}

export function enterEvent(state: FleetState, self: Self): EnterEvent {
  const { inc, name, max, replicas, granted, returned, known } = self
  const ended = self.isSole ? withNamesakes(state, self) : self.ended
  return { type: 'enter', inc, name, max, replicas, granted, returned, ended, known }
}

/** Another incarnation of this name that is not known to have ended. */
export function rivalIn({ members }: FleetState, { inc, name, ended }: Self): string | null {
  const rival = Object.keys(members).find(
    (one) => one !== inc && members[one]?.name === name && !ended.includes(one)
  )
  return rival ?? null
}

export function namesOf({ members, awaited }: Pick<FleetState, 'members' | 'awaited'>) {
  const names: Record<string, string> = { ...awaited }
  for (const inc in members) {
    const entry = members[inc]
    if (entry !== undefined) names[inc] = entry.name
  }
  return names
}

/** Doubled or ended wants are news; otherwise every request would be a message. */
export function isWantNews(entry: FleetEntry, want: number): boolean {
  if ((want === 0) !== (entry.want === 0)) return true
  return want >= 2 * entry.want && want !== entry.want
}

function isNews(entry: FleetEntry, { returned, max, replicas, isLeaving }: Self): boolean {
  if (entry.returned !== returned || entry.isQuiet !== isLeaving) return true
  return entry.max !== max || entry.replicas !== replicas
}

function reportEvent(self: Self): FleetEvent {
  const { inc, max, replicas, returned, want, waitedMs, isLeaving, ended } = self
  return { type: 'report', inc, max, replicas, returned, want, waitedMs, isLeaving, ended }
}

function withNamesakes(state: FleetState, { inc, name, ended, known }: Self): readonly string[] {
  const others = Object.entries({ ...known, ...namesOf(state) }).filter(
    ([other, otherName]) => otherName === name && other !== inc
  )
  return [...new Set([...ended, ...others.map(([other]) => other)])].slice(-MAX_ENDED)
}

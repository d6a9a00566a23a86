import { isCount, isJsonObject } from '../shared/json.ts'

/*
 * Register of a fleet: its members and their permits. Changed by compare-and-set only, so each change is made by a
 * member that has seen the one before.
 *
 *   era      "number.by.rev": what this run of Valkey knows of the fleet; a loss starts a new one
 *   phase    learning: nothing is granted beyond what living members claim;  open: all permits are granted
 *   members  by incarnation: a process that starts again, or had to let go of everything, is another member
 *
 * lease = granted − returned; both only grow.
 */

export interface FleetEntry {
  /** `FLEET_MEMBER`. Incarnations may share it. */
  readonly name: string
  /** `HTTP_MAX_CONNECTIONS`; the smallest of all counts. */
  readonly max: number
  /** `FLEET_REPLICAS`; the largest of all counts. */
  readonly replicas: number
  readonly granted: number
  /** Their sockets are gone. */
  readonly returned: number
  readonly want: number
  readonly waitedMs: number
  /** Leaving, or silent for a while: gets no grants until it reports. */
  readonly isQuiet: boolean
  readonly ended: readonly string[]
}

export type FleetMembers = Readonly<Record<string, FleetEntry>>

export interface FleetState {
  readonly v: 2
  /** Identifies the signing secret without revealing it. */
  readonly check: string
  readonly run: string
  readonly era: string
  readonly rev: number
  readonly phase: 'open' | 'learning'
  /** While learning: sum of all claims. */
  readonly cap: number
  readonly max: number
  readonly replicas: number
  /** Names by incarnation: had permits in an earlier era, not heard of in this one. */
  readonly awaited: Readonly<Record<string, string>>
  readonly members: FleetMembers
}

export type StateReading =
  | { readonly type: 'state'; readonly state: FleetState }
  | { readonly type: 'none' }
  /** Written by a newer version of this program, or by a fleet with another secret: not ours to write. */
  | { readonly type: 'newer' | 'foreign' }

const VERSION = 2
export const MAX_MEMBERS = 64
/** Per member; only a fault causes more starts. */
export const MAX_ENDED = 16
export const MAX_NAME_CHARS = 63
export const MAX_STATE_CHARS = 1_048_576
const MAX_COUNT = 2 ** 48

/** `checks` are of all accepted secrets. Never throws: the register may contain anything. */
export function readState(text: string | null, checks: readonly string[]): StateReading {
  if (text === null || text.length > MAX_STATE_CHARS) return { type: 'none' }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { type: 'none' }
  }
  if (!isJsonObject(value)) return { type: 'none' }
  const { v } = value
  if (typeof v === 'number' && v > VERSION) return { type: 'newer' }
  if (v === VERSION && isText(value['check'], 128) && !checks.includes(value['check']))
    return { type: 'foreign' }
  return isState(value) && isSettled(value) ? { type: 'state', state: value } : { type: 'none' }
}

function isState(value: Readonly<Record<string, unknown>>): value is KnownState {
  const { v, check, run, era, rev, phase, cap, max, replicas, awaited, members } = value
  if (v !== VERSION || !isText(check, 128) || !isText(run, 128) || !isText(era, 128)) return false
  if (phase !== 'open' && phase !== 'learning') return false
  if (![rev, cap, max, replicas].every(isAmount)) return false
  if (!isJsonObject(awaited) || !isJsonObject(members)) return false
  const names = Object.entries(awaited)
  if (names.length > MAX_MEMBERS ** 2 || !names.every(isName)) return false
  const entries = Object.entries(members)
  return (
    entries.length <= MAX_MEMBERS && entries.every(([inc, one]) => isText(inc, 80) && isEntry(one))
  )
}

/** True if everything that follows from the members is as `nextFleet()` leaves it; other writers would differ. */
function isSettled(state: FleetState): boolean {
  const { members, max, replicas, phase, cap } = state
  const entries = Object.values(members)
  if (phase === 'learning' ? sumOfLeases(members) > cap : cap !== 0) return false
  if (entries.length === 0) return true
  const isLeast = max === Math.min(...entries.map((one) => one.max))
  return isLeast && replicas === Math.max(...entries.map((one) => one.replicas))
}

type KnownState = FleetState & Readonly<Record<string, unknown>>

function isEntry(value: unknown): boolean {
  if (!isJsonObject(value)) return false
  const { name, max, replicas, granted, returned, want, waitedMs, isQuiet, ended } = value
  if (!isText(name, MAX_NAME_CHARS) || typeof isQuiet !== 'boolean') return false
  if (![max, replicas, granted, returned, want, waitedMs].every(isAmount)) return false
  if (Number(returned) > Number(granted)) return false
  return Array.isArray(ended) && ended.length <= MAX_ENDED && ended.every((inc) => isText(inc, 80))
}

function isName([inc, name]: [string, unknown]): boolean {
  return isText(inc, 80) && isText(name, MAX_NAME_CHARS)
}

function isText(value: unknown, maxChars: number): value is string {
  return typeof value === 'string' && value !== '' && value.length <= maxChars
}

function isAmount(value: unknown): boolean {
  return isCount(value) && value <= MAX_COUNT
}

export function eraNumber(era: string): number {
  const number = Number.parseInt(era, 10)
  return Number.isSafeInteger(number) ? number : 0
}

export function permitsOf({ granted, returned }: FleetEntry): number {
  return granted - returned
}

export function sumOfLeases(members: FleetMembers): number {
  let sum = 0
  for (const inc in members) {
    const entry = members[inc]
    if (entry !== undefined) sum += permitsOf(entry)
  }
  return sum
}

export function grantableIn({ phase, max, cap }: FleetState): number {
  return phase === 'open' ? max : cap
}

/** Equal parts, the remainder one each to the first by name. */
export function sharesOf({
  members,
  max,
  replicas
}: Pick<FleetState, 'members' | 'max' | 'replicas'>) {
  const incs = Object.keys(members).toSorted((a, b) => {
    const [one, other] = [members[a]?.name ?? '', members[b]?.name ?? '']
    return one === other ? (a < b ? -1 : 1) : one < other ? -1 : 1
  })
  const parts = Math.max(replicas, incs.length, 1)
  const shares = new Map<string, number>()
  for (const [place, inc] of incs.entries()) {
    shares.set(inc, Math.floor(max / parts) + (place < max % parts ? 1 : 0))
  }
  return shares
}

/** Part of its share that a lender keeps: enough to renew a token, and to go on without Valkey. */
export function floorOf(share: number): number {
  return share === 0 ? 0 : Math.max(1, Math.min(4, Math.floor(share / 16)))
}

import { Check, Compile } from 'typebox/schema'
import { parseJsonObject } from '../shared/json.ts'
import { type Checked, mapOf, Type } from '../shared/schema-type.ts'

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

const VERSION = 2
export const MAX_MEMBERS = 64
/** Per member; only a fault causes more starts. */
export const MAX_ENDED = 16
export const MAX_NAME_CHARS = 63
export const MAX_STATE_CHARS = 1_048_576

const Amount = Type.Integer({ minimum: 0, maximum: 2 ** 48 })
const Word = Type.String({ minLength: 1, maxLength: 128 })
const Incarnation = Type.String({ minLength: 1, maxLength: 80 })
const Name = Type.String({ minLength: 1, maxLength: MAX_NAME_CHARS })

const Entry = Type.Object({
  /** `FLEET_MEMBER`. Incarnations may share it. */
  name: Name,
  /** `HTTP_MAX_CONNECTIONS`; the smallest of all counts. */
  max: Amount,
  /** `FLEET_REPLICAS`; the largest of all counts. */
  replicas: Amount,
  granted: Amount,
  /** Permits whose sockets are gone. */
  returned: Amount,
  want: Amount,
  waitedMs: Amount,
  /** Leaving, or silent for a while: gets no grants until it reports. */
  isQuiet: Type.Boolean(),
  ended: Type.Array(Incarnation, { maxItems: MAX_ENDED })
})

const State = Type.Object({
  v: Type.Enum([VERSION]),
  /** Identifies the signing secret without revealing it. */
  check: Word,
  run: Word,
  era: Word,
  rev: Amount,
  phase: Type.Enum(['open', 'learning']),
  /** While learning: sum of all claims. */
  cap: Amount,
  max: Amount,
  replicas: Amount,
  /** Names by incarnation: had permits in an earlier era, not heard of in this one. */
  awaited: mapOf(Name, { propertyNames: Incarnation, maxProperties: MAX_MEMBERS ** 2 }),
  members: mapOf(Entry, { propertyNames: Incarnation, maxProperties: MAX_MEMBERS })
})

export type FleetEntry = Checked<typeof Entry>
export type FleetState = Checked<typeof State>
export type FleetMembers = FleetState['members']

const StateShape = Compile(State)

export type StateReading =
  | { readonly type: 'state'; readonly state: FleetState }
  | { readonly type: 'none' }
  /** Written by a newer version of this program, or by a fleet with another secret: not ours to write. */
  | { readonly type: 'newer' | 'foreign' }

/** `checks` are of all accepted secrets. Never throws: the register may contain anything. */
export function readState(text: string | null, checks: readonly string[]): StateReading {
  const value = text === null || text.length > MAX_STATE_CHARS ? null : parseJsonObject(text)
  const { v, check } = value ?? {}
  if (typeof v === 'number' && v > VERSION) return { type: 'newer' }
  if (v === VERSION && Check(Word, check) && !checks.includes(check)) return { type: 'foreign' }
  return StateShape.Check(value) && isSettled(value)
    ? { type: 'state', state: value }
    : { type: 'none' }
}

/** True if everything that follows from the members is as `nextFleet()` leaves it; other writers would differ. */
function isSettled(state: FleetState): boolean {
  const { members, max, replicas, phase, cap } = state
  const entries = Object.values(members)
  if (phase === 'learning' ? sumOfLeases(members) > cap : cap !== 0) return false
  if (entries.some(({ returned, granted }) => returned > granted)) return false
  if (entries.length === 0) return true
  const isLeast = max === Math.min(...entries.map((one) => one.max))
  return isLeast && replicas === Math.max(...entries.map((one) => one.replicas))
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

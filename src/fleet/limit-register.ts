import { type Checked, jsonReader, mapOf, Type } from '../shared/schema-type.ts'

/*
 * A limit of a named key shared by several gateways. Each has a rightful part, the R-th, and gives others what it does
 * not need. Gifts are totals that only grow, written by the giver after letting go; they count for the receiver once
 * seen. So all parts together are the limit, however late or often something is written. What Valkey forgets, gateways
 * remember; without Valkey, each goes on with its part.
 *
 *   part of a gateway = rightful part − gifts given + gifts received − losses of its earlier processes
 */

/** Gateways of other names may have been there. */
const MAX_SEATS = 128

const Amount = Type.Integer({ minimum: 0, maximum: 2 ** 50 })
const ByName = {
  propertyNames: Type.String({ pattern: '^(?!__proto__$)[A-Za-z0-9._-]{1,63}$' }),
  maxProperties: MAX_SEATS
}

const Seat = Type.Object({
  /** Order of arrival: the first R have a rightful part. */
  no: Amount,
  inc: Type.String({ maxLength: 128 }),
  /** Era of the register when the process was known to be alive. */
  era: Type.String({ maxLength: 256 }),
  rev: Amount,
  /** Needed beyond its part. */
  want: Amount,
  gave: mapOf(Amount, ByName),
  /** Held by an earlier process whose use is unknown. */
  lost: Amount
})

const Register = Type.Object({
  /** Another period starts from zero. */
  period: Amount,
  seats: mapOf(Seat, ByName)
})

export type LimitSeat = Checked<typeof Seat>
export type LimitRegister = Checked<typeof Register>

export const parseLimitRegister = jsonReader(Register)

export interface LimitSize {
  readonly limit: number
  readonly replicas: number
}

export function rightOf(rank: number, { limit, replicas }: LimitSize): number {
  if (rank >= replicas) return 0
  return Math.floor(limit / replicas) + (rank < limit % replicas ? 1 : 0)
}

/** Negative if it gave more than there is now: the limit was lowered. */
export function partOf({ seats }: LimitRegister, name: string, size: LimitSize): number {
  const seat = seats[name]
  if (seat === undefined) return 0
  let rank = 0
  let part = -seat.lost
  for (const given of Object.values(seat.gave)) part -= given // also to one that has no seat any more
  for (const [other, { no, gave }] of Object.entries(seats)) {
    if (isBefore([other, no], [name, seat.no])) rank += 1
    part += gave[name] ?? 0
  }
  return part + rightOf(rank, size)
}

function isBefore([one, no]: readonly [string, number], [other, than]: readonly [string, number]) {
  return no < than || (no === than && one < other)
}

/** Joins both for the first MAX_SEATS; a later period replaces an earlier one. */
export function joinRegisters(known: LimitRegister, found: LimitRegister): LimitRegister {
  if (known.period !== found.period) return known.period > found.period ? known : found
  const seats: Record<string, LimitSeat> = { ...found.seats }
  for (const [name, seat] of Object.entries(known.seats)) {
    const other = seats[name]
    seats[name] = other === undefined ? { ...seat, want: 0 } : joinSeats(seat, other)
  }
  return { ...found, seats: firstOf(seats) }
}

/** The last seats have no rightful part, and gifts to them do not return. */
function firstOf(seats: LimitRegister['seats']): LimitRegister['seats'] {
  const all = Object.entries(seats)
  if (all.length <= MAX_SEATS) return seats
  const inOrder = all.toSorted(([a, one], [b, other]) =>
    isBefore([a, one.no], [b, other.no]) ? -1 : 1
  )
  return Object.fromEntries(inOrder.slice(0, MAX_SEATS))
}

/** True if gateways of other names fill the register: one more would make it unreadable. */
export function isFullFor({ seats }: LimitRegister, name: string): boolean {
  return !Object.hasOwn(seats, name) && Object.keys(seats).length >= MAX_SEATS
}

/** True if a reader of `found` learns everything known. */
export function isToldIn(known: LimitRegister, found: LimitRegister | null): boolean {
  if (found === null) return Object.keys(known.seats).length === 0
  if (found.period !== known.period) return found.period > known.period
  return Object.entries(known.seats).every(([name, { gave, lost }]) => {
    const seat = found.seats[name]
    if (seat === undefined || seat.lost < lost) return false
    return Object.entries(gave).every(([to, total]) => (seat.gave[to] ?? 0) >= total)
  })
}

function joinSeats(known: LimitSeat, found: LimitSeat): LimitSeat {
  return {
    ...found,
    no: Math.min(known.no, found.no),
    lost: Math.max(known.lost, found.lost),
    gave: joinGifts(known.gave, found.gave)
  }
}

function joinGifts(known: LimitSeat['gave'], found: LimitSeat['gave']): LimitSeat['gave'] {
  const gave: Record<string, number> = { ...found }
  for (const [name, total] of Object.entries(known)) gave[name] = Math.max(total, gave[name] ?? 0)
  return gave
}

export type LimitSelf = Pick<LimitSeat, 'inc' | 'era' | 'rev'>

/** Takes a free seat, or that of an earlier process. `isKnown`: what that one used is known here. */
export function withSelf(
  register: LimitRegister,
  name: string,
  {
    self,
    size,
    isKnown
  }: {
    readonly self: LimitSelf
    readonly size: LimitSize
    readonly isKnown: (inc: string) => boolean
  }
): LimitRegister {
  const seat = register.seats[name]
  if (seat?.inc === self.inc || isFullFor(register, name)) return register
  const no = 1 + Math.max(0, ...Object.values(register.seats).map((one) => one.no))
  const fresh: LimitSeat = { ...self, no, want: 0, gave: {}, lost: 0 }
  if (seat === undefined) return { ...register, seats: { ...register.seats, [name]: fresh } }
  const more = isKnown(seat.inc) ? 0 : Math.max(0, partOf(register, name, size))
  const taken = { ...seat, ...self, want: 0, lost: seat.lost + more }
  return { ...register, seats: { ...register.seats, [name]: taken } }
}

export function withWant(register: LimitRegister, name: string, want: number): LimitRegister {
  const seat = register.seats[name]
  if (seat === undefined || seat.want === want) return register
  return { ...register, seats: { ...register.seats, [name]: { ...seat, want } } }
}

/** The giver has let go of it; wants decrease accordingly. */
export function withGift(
  register: LimitRegister,
  { from, to, amount }: { readonly from: string; readonly to: string; readonly amount: number }
): LimitRegister {
  const [giver, receiver] = [register.seats[from], register.seats[to]]
  if (giver === undefined || receiver === undefined || amount <= 0) return register
  const isNew = !Object.hasOwn(giver.gave, to)
  if (isNew && Object.keys(giver.gave).length >= MAX_SEATS) return register
  const gave = { ...giver.gave, [to]: (giver.gave[to] ?? 0) + amount }
  const want = Math.max(0, receiver.want - amount)
  return {
    ...register,
    seats: { ...register.seats, [from]: { ...giver, gave }, [to]: { ...receiver, want } }
  }
}

/** Gives what `from` has given in `other`; another period has nothing to do with it. */
export function withGiftsOf(
  register: LimitRegister,
  other: LimitRegister,
  from: string
): LimitRegister {
  const [seat, given] = [register.seats[from], other.seats[from]]
  if (seat === undefined || given === undefined || register.period !== other.period) return register
  const gave = joinGifts(seat.gave, given.gave)
  return { ...register, seats: { ...register.seats, [from]: { ...seat, gave } } }
}

export function withHeritage(
  register: LimitRegister,
  heir: string,
  { size, isGone }: { readonly size: LimitSize; readonly isGone: (seat: LimitSeat) => boolean }
): LimitRegister {
  let next = register
  for (const [from, seat] of Object.entries(register.seats)) {
    if (from === heir || !isGone(seat)) continue
    next = withGift(next, { from, to: heir, amount: partOf(next, from, size) })
  }
  return next
}

/** Needs of other gateways, the poorest first; a debt is a need. `due`: what they lack of their rightful part. */
export function wantsIn(register: LimitRegister, but: string, size: LimitSize) {
  const right = rightOf(size.replicas - 1, size)
  return Object.entries(register.seats)
    .filter(([name]) => name !== but)
    .map(([name, seat]) => {
      const part = partOf(register, name, size)
      const want = seat.want + Math.max(0, -part)
      return { name, seat, part, want, due: Math.max(0, Math.min(want, right - part)) }
    })
    .filter(({ want }) => want > 0)
    .toSorted((a, b) => a.part - b.part)
}

export function limitRecordOf(name: string): { readonly record: string; readonly aad: string } {
  return { record: `limit.${name.replaceAll('/', '.')}`, aad: `v1|limit|${name}` }
}

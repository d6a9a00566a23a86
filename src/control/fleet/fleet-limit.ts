import type { FleetRecord, FleetRecords } from '../../fleet/fleet-records.ts'
import type { FleetSeal } from '../../fleet/fleet-seal.ts'
import {
  isFullFor,
  isToldIn,
  joinBooks,
  type LimitBook,
  type LimitSeat,
  type LimitSelf,
  limitRecordOf,
  parseLimitBook,
  partOf,
  rightOf,
  wantsIn,
  withGift,
  withHeritage,
  withSelf,
  withWant
} from '../../fleet/limit-book.ts'
import { type AllowanceName, isUsedUp } from '../../ipc/allowance.ts'
import type { AllowanceDesk } from '../allowances/allowance-desk.ts'
import {
  type AllowanceState,
  freeIn,
  needOf,
  scrapsIn,
  spareIn
} from '../allowances/allowance-ledger.ts'

export interface FleetLimitOptions {
  readonly name: AllowanceName
  readonly records: FleetRecords
  readonly seal: Pick<FleetSeal, 'seal' | 'open'>
  readonly desk: Pick<AllowanceDesk, 'stateOf' | 'setAway'>
  readonly member: string
  readonly replicas: number
  /** Current process as a member; `null` while it is none. */
  readonly self: () => LimitSelf | null
  /** True for an earlier process of this folder, whose use is known here. */
  readonly isOurs: (inc: string) => boolean
  /** True without an earlier process in this folder. */
  readonly isFirst: () => boolean
  /** True if this process has certainly ended. */
  readonly isGone: (seat: LimitSeat) => boolean
  /** No earlier process can have given anything away in this minute. */
  readonly isSettled: () => boolean
  /** Called when gateways of other names hold all shares. */
  readonly onFull: () => void
  readonly now?: () => number
}

/** Wait for other gateways before waiters are refused. */
const ASKING_MS = 300
/** Time without need after which demands are withdrawn. */
const CALM_MS = 1_000
/** While others need something, workers report spares for this long, at this interval. */
const [PROBE_MS, PROBE_EVERY_MS] = [50, 500]
const GAP_MS = 20
const RETRY_MS = 500
/** Part of the rightful share requested at once, so that not every request has to ask. */
const CHUNK = 1 / 8
const [MINUTE_TTL_MS, TTL_MS] = [180_000, 40 * 86_400_000]

/**
 * This gateway's share in one limit of a named key: limits the ledger, requests what is lacking, gives up what is
 * unneeded. While all have enough there are no messages.
 */
export class FleetLimit {
  readonly #options: FleetLimitOptions
  readonly #record: string
  readonly #aad: string
  readonly #now: () => number
  /** Record in Valkey, or what is known without it. */
  #book: LimitBook = { period: 0, seats: {} }
  /** Being written, perhaps done: its gifts count as given. */
  #pending: LimitBook | null = null
  /** Last incarnation as a member. */
  #inc = ''
  #rev = 0
  #isRead = false
  #isStale = false
  /** Valkey has lost something known here. */
  #isUntold = false
  /** The record's period has not begun here. */
  #isBehind = false
  #isBusy = false
  #isAway = false
  /** Withheld from workers, to be given. */
  #hold = 0
  /** Unneeded since that time. */
  #idle = 0
  #probedAt = -Infinity
  #probedFor = 0
  #askedAt = -Infinity
  #neededAt = -Infinity
  #nextAt = -Infinity
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: FleetLimitOptions) {
    this.#options = options
    const { record, aad } = limitRecordOf(options.name)
    this.#record = record
    this.#aad = aad
    this.#now = options.now ?? (() => performance.now())
  }

  /** Held by others. */
  awayOf({ limit, period }: Pick<AllowanceState, 'limit' | 'period'>) {
    if (period !== this.#book.period) this.#begin(period)
    const part = Math.max(0, Math.min(limit, this.#part(limit)))
    return { away: limit - part + Math.min(part, this.#hold), mayCome: this.#mayCome }
  }

  /** The record may have changed. */
  onNews(): void {
    this.#isStale = true
    this.look()
  }

  close(): void {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  /** Decides, updates the ledger, and writes to Valkey if needed. */
  look(): void {
    const { name, desk, self } = this.#options
    const state = this.#isClosed ? null : desk.stateOf(name)
    if (state === null) return
    const now = this.#now()
    if (needOf(state) > 0) this.#neededAt = now
    this.#squeeze(state)
    if (this.#isBusy || self() === null) return
    if (now < this.#nextAt) return this.#wake(this.#nextAt - now)
    if (this.#isStale || this.#mustRead)
      void this.#read() // never rejects
    else {
      const next = this.#decide(desk.stateOf(name) ?? state, now)
      if (next !== null)
        void this.#write(next, state) // never rejects
      else if (this.#ownWant > 0) this.#wake(ASKING_MS / 2)
    }
  }

  /** True until earlier processes' gifts are known; nothing may be used before. */
  get #mustRead(): boolean {
    return !this.#isRead && (!this.#isShort || !this.#options.isSettled())
  }

  /** Minute limits are frequent: a gateway that needs no more than its share stays silent. */
  get #isShort(): boolean {
    return this.#options.name.endsWith('/requests')
  }

  /** True if the record has our seat: others take over what an ended process held, except what is used up. */
  get #isSeated(): boolean {
    const { name, member, self, isOurs } = this.#options
    const inc = this.#book.seats[member]?.inc
    if (inc === undefined) return false
    this.#inc = self()?.inc ?? this.#inc
    return inc === this.#inc || (isUsedUp(name) && isOurs(inc))
  }

  get #mayCome(): boolean {
    if (this.#isAway || isFullFor(this.#book, this.#options.member)) return false
    if (this.#mustRead || !(this.#isSeated || this.#isShort)) return true
    return this.#ownWant === 0 || this.#now() - this.#askedAt < ASKING_MS
  }

  get #ownWant(): number {
    return this.#book.seats[this.#options.member]?.want ?? 0
  }

  #begin(period: number): void {
    if (period < this.#book.period) return // a clock that was set back
    this.#book = { period, seats: {} }
    this.#pending = null
    this.#isRead = false
    this.#isUntold = false
    this.#isBehind = false
    this.#hold = 0
    this.#askedAt = -Infinity
  }

  /** Without Valkey the rightful share, unless more is known, or an earlier process may have given it away. */
  #part(limit: number): number {
    const { member, replicas, isFirst } = this.#options
    const size = { limit, replicas }
    if (this.#isSeated) {
      const part = partOf(this.#book, member, size)
      return this.#pending === null ? part : Math.min(part, partOf(this.#pending, member, size))
    }
    const isKnown = this.#isShort ? !this.#mustRead : this.#isAway && isFirst()
    return isKnown ? rightOf(replicas - 1, size) : 0
  }

  /** Withholds what others need, as far as unneeded here or beyond our rightful share. */
  #squeeze(state: AllowanceState): void {
    const { name, desk, replicas } = this.#options
    const { limit } = state
    const part = Math.max(0, this.#part(limit))
    const others = this.#others(state)
    const wanted = others.reduce((sum, { want }) => sum + want, 0)
    const owed = others.reduce((sum, { due }) => sum + due, 0)
    const isLacking = needOf(state) > 0
    const spare = isLacking ? scrapsIn(state) : spareIn(state)
    const isAsking = wanted > 0 && !isLacking && this.#isProbing(wanted)
    this.#idle = isAsking ? wanted : Math.max(0, this.#hold + freeIn(state) + spare)
    const over = isUsedUp(name) ? 0 : Math.max(0, part - Math.ceil(limit / replicas))
    this.#hold = Math.min(part, Math.max(Math.min(wanted, this.#idle), Math.min(owed, over)))
    desk.setAway(name, this.awayOf(state))
  }

  /** While something is withheld, workers report their spares: now and then all is withheld for a moment. */
  #isProbing(wanted: number): boolean {
    const now = this.#now()
    if (wanted > this.#probedFor || now - this.#probedAt > PROBE_EVERY_MS) {
      this.#probedAt = now
      this.#probedFor = wanted
    }
    this.#wake(now - this.#probedAt < PROBE_MS ? PROBE_MS : PROBE_EVERY_MS)
    return now - this.#probedAt < PROBE_MS
  }

  /** If all lack credits, each has too little: the first by name gets everything. */
  #others(state: AllowanceState) {
    const { member, replicas, isGone } = this.#options
    const size = { limit: state.limit, replicas }
    const isLacking = isUsedUp(state.name) && needOf(state) > 0
    return wantsIn(this.#book, member, size).filter(
      ({ name, seat }) => !isGone(seat) && (!isLacking || name < member)
    )
  }

  /** `null` if there is nothing to write. */
  #decide(state: AllowanceState, now: number): LimitBook | null {
    const { name, member, replicas, self, isOurs, isGone } = this.#options
    const me = self()
    if (me === null || this.#isBehind || state.period !== this.#book.period) return null
    const size = { limit: state.limit, replicas }
    const need = needOf(state)
    const isEntering = !this.#isShort || need > 0 || this.#hold > 0
    if (!isEntering && !this.#isSeated) return null
    const before = this.#pending ?? this.#book
    if (isFullFor(before, member)) this.#options.onFull()
    let next = withSelf(before, member, { self: me, size, isKnown: isOurs })
    if (need > 0 && !isUsedUp(name)) next = withHeritage(next, member, { size, isGone })
    next = this.#withGifts(next, state)
    next = withWant(next, member, this.#wantFor(state, need, now))
    const isSaid = next === before && this.#pending === null && !this.#isUntold
    return isSaid ? null : next
  }

  /** First what is due to others, then what is idle here. */
  #withGifts(book: LimitBook, state: AllowanceState): LimitBook {
    const { member: from } = this.#options
    if (this.#pending !== null) return book
    let next = book
    let left = this.#hold + Math.min(0, freeIn(state))
    let idle = this.#idle
    const give = (to: string, most: number): void => {
      const amount = Math.max(0, Math.min(left, most))
      next = withGift(next, { from, to, amount })
      left -= amount
      idle -= amount
    }
    const others = this.#others(state)
    for (const { name, due } of others) give(name, due)
    for (const { name, want, due } of others) give(name, Math.min(idle, want - due))
    return next
  }

  #wantFor({ name, limit }: AllowanceState, need: number, now: number): number {
    const { replicas } = this.#options
    const asked = this.#ownWant
    if (need === 0) return now - this.#neededAt < CALM_MS ? asked : 0
    const chunk = isUsedUp(name) ? Math.ceil((limit / replicas) * CHUNK) : 0
    return asked >= need ? asked : Math.min(limit, Math.max(need, chunk))
  }

  async #read(): Promise<void> {
    const { records } = this.#options
    this.#isBusy = true
    this.#isStale = false
    try {
      this.#take(await records.read(this.#record))
      this.#isAway = false
    } catch {
      this.#fail()
    }
    this.#end()
  }

  async #write(next: LimitBook, state: AllowanceState): Promise<void> {
    const { records, seal, name, member } = this.#options
    this.#isBusy = true
    this.#pending = next // what it gives is ours no longer
    this.#options.desk.setAway(name, this.awayOf(state))
    const value = seal.seal(JSON.stringify(next), this.#aad)
    const ttlMs = this.#isShort ? MINUTE_TTL_MS : TTL_MS
    if ((next.seats[member]?.want ?? 0) > this.#ownWant) this.#askedAt = this.#now()
    try {
      const answer = await records.cas(this.#record, { rev: this.#rev, value, ttlMs })
      this.#isAway = false
      if (answer.isWritten) {
        this.#rev = answer.record.rev
        if (next.period === this.#book.period) this.#book = next
        this.#pending = null
        this.#isRead = true
        this.#isUntold = false
      } else this.#take(answer.record)
    } catch {
      this.#fail() // it may be written, or will be
    }
    this.#end()
  }

  #take({ rev, value }: FleetRecord): void {
    const { seal } = this.#options
    const found = parseLimitBook(seal.open(value ?? '', this.#aad) ?? '')
    if (rev !== this.#rev) this.#pending = null // what was under way can't be written any more
    this.#rev = rev
    this.#isRead = true
    this.#isBehind = found !== null && found.period > this.#book.period
    this.#isUntold = !isToldIn(this.#book, found)
    if (found?.period === this.#book.period) this.#book = joinBooks(this.#book, found)
  }

  #fail(): void {
    this.#isAway = true
    this.#isStale = true
    this.#nextAt = this.#now() + RETRY_MS
  }

  #end(): void {
    this.#isBusy = false
    this.#nextAt = Math.max(this.#nextAt, this.#now() + GAP_MS)
    this.look()
  }

  #wake(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.look(), Math.max(1, Math.ceil(ms))).unref()
  }
}

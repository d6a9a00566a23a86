import { elapsedMs, type Instant } from '../shared/elapsed.ts'
import { floorOf, MAX_MEMBERS } from './fleet-state.ts'
import type { Loan, LoanBook, LoanEntry } from './loan-book.ts'

/*
 * A rate that several gateways keep together: so many starts in any window of time, each of which one of them has.
 *
 * Everybody's own part is the R-th of it, which no other gateway uses unless it is lent; so each may go on with that when the
 * engine is gone, and what the engine forgets, repeats or writes late does no harm. Also where the book can't be read or written
 * from the start: what a predecessor has lent or used is over after a while.
 *
 *   borrower   asks: "question 7: I want 20"     A loan lasts for a term from when its question was SENT, as it knows.
 *   lender     answers: "to you 12, question 7"  Has it back a term and a window after it has SEEN the question, which is later.
 *
 * No clock is compared with another. A start is lent only while it is free, so its next holder has had a whole window.
 */

export interface RateLoansOptions {
  /** Unique id of this process. */
  readonly id: string
  /** Name of the gateway: the usage and loans of earlier processes with this name delay reuse. */
  readonly name: string
  readonly replicas: number
  readonly termMs: number
  /** For how long a start is not free after it was used. */
  readonly windowMs: number
  /** A process of this gateway may have run a moment ago. */
  readonly hasPredecessor: boolean
}

/** Need of the rate here. */
export interface RateUse {
  /** As configured, for all gateways together. */
  readonly rate: number
  /** Starts that are out, or were used within the window. */
  readonly used: number
  /** Requests that wait for one. */
  readonly waiting: number
}

interface Other {
  readonly entry: LoanEntry
  /** When it last said something new, and when its last question was seen. Monotonic. */
  readonly heardAt: number
  readonly askedAt: number
}

interface Lent {
  readonly count: number
  readonly until: number
}

/** Silence after which a gateway no longer counts; every gateway writes before that. */
const FORGOTTEN_MS = 900_000
const SIGN_MS = 300_000
/** Questions of which an answer may yet come. */
const MAX_ASKS = 8
/** Most outstanding loans to one borrower: beyond it the oldest two count as one, the larger for the longer time. */
const MAX_LENT = 8
/** Clocks run at different speeds. */
const DRIFT = 1.01

/** One gateway's part of a shared rate. Pure but for what it remembers. */
export class RateLoans {
  readonly #options: RateLoansOptions
  readonly #marginMs: number
  #replicas: number
  #use: RateUse = { rate: 0, used: 0, waiting: 0 }
  #own: LoanEntry
  #saidAt = -Infinity
  /** `null` until anybody asked. */
  #begunAt: number | null = null
  /** `null` until the book was seen. */
  #heldUntil: number | null = null
  /** True once successors can know of us. */
  #isEntered = false
  /** By id. Bounded by MAX_MEMBERS. */
  readonly #others = new Map<string, Other>()
  /** By number. Bounded by MAX_ASKS. */
  readonly #asks = new Map<number, Instant>()
  /** By lender. Bounded by MAX_MEMBERS. */
  readonly #borrowed = new Map<string, Loan>()
  /** By borrower; larger ones end earlier. Bounded by MAX_MEMBERS, each by MAX_LENT. */
  readonly #lent = new Map<string, readonly Lent[]>()

  constructor(options: RateLoansOptions) {
    const { name, termMs } = options
    this.#options = options
    this.#replicas = options.replicas
    this.#marginMs = Math.max(250, termMs / 15)
    this.#own = { name, seq: 0, rate: 0, want: 0, ask: 0, loans: {}, left: null }
  }

  /** Complete entry of this gateway in the book. */
  get own(): LoanEntry {
    return this.#own
  }

  /** More of them than our settings say have come, or are said to come: parts must not add up to more than the whole. */
  setReplicas(seen: number): void {
    this.#replicas = Math.max(this.#replicas, seen)
  }

  setUse(use: RateUse): void {
    this.#use = use
  }

  /** Starts that this gateway may have out or used within a window. */
  limit(now: Instant): number {
    this.#begunAt ??= now.mono
    if (this.#own.left !== null) return 0
    let limit = this.#base(now.mono) - this.#lentNow(now.mono)
    for (const loan of this.#borrowed.values()) if (this.#isGood(loan, now)) limit += loan.count
    return Math.max(0, Math.min(limit, this.#rate(now.mono)))
  }

  /** The book was read, or there is none. */
  onBook(book: LoanBook, now: Instant): void {
    const { id, name } = this.#options
    this.#begunAt ??= now.mono
    this.#heldUntil ??= now.mono + this.#holdMs(book)
    if (id in book) this.#isEntered = true
    for (const [other, entry] of Object.entries(book)) {
      if (other === id || entry.name === name) continue
      const known = this.#others.get(other)
      if (known !== undefined && known.entry.seq >= entry.seq) continue
      if (known === undefined && this.#others.size >= MAX_MEMBERS) continue
      const isAsked = entry.ask > (known?.entry.ask ?? 0)
      const askedAt = isAsked ? now.mono : (known?.askedAt ?? now.mono)
      this.#others.set(other, { entry, heardAt: now.mono, askedAt })
      const loan = entry.loans[id]
      if (loan === undefined) this.#borrowed.delete(other)
      else this.#borrowed.set(other, loan)
    }
  }

  /** Makes up its mind. True where it has something new to say, which is `own`. */
  look(now: Instant): boolean {
    if (this.#own.left !== null) return false
    this.#forget(now)
    const loans = this.#answers(now.mono)
    const want = this.#want(now.mono)
    const isAsking = want > 0 && now.mono >= this.#askAt(want)
    const { rate } = this.#use
    const before = this.#own
    const isSilent = now.mono - this.#saidAt >= SIGN_MS
    if (loans === null && !isAsking && rate === before.rate && !isSilent) return false
    if (isAsking) {
      this.#asks.set(before.ask + 1, now)
      const [oldest] = this.#asks.keys()
      if (this.#asks.size > MAX_ASKS && oldest !== undefined) this.#asks.delete(oldest)
    }
    const asked = isAsking ? { want, ask: before.ask + 1 } : {}
    const seq = before.seq + 1
    this.#own = { ...before, ...asked, seq, rate, loans: loans ?? before.loans }
    this.#saidAt = now.mono
    return true
  }

  /** Leaves: a successor of this name knows how long to wait. */
  leave(now: Instant): void {
    const lent = [...this.#lent.values()].flat()
    const left = Math.max(
      0,
      this.#use.used > 0 ? this.#options.windowMs : 0,
      (this.#heldUntil ?? 0) - now.mono,
      ...lent.map(({ until }) => until - now.mono)
    )
    this.#own = { ...this.#own, seq: this.#own.seq + 1, want: 0, loans: {}, left: Math.ceil(left) }
  }

  /** Milliseconds of the monotonic clock at which something may change by itself. */
  wakeAt(now: Instant): number {
    const { termMs } = this.#options
    const lent = [...this.#lent.values()].flat().map(({ until }) => until)
    const sentAt = [...this.#asks.values()].map(({ mono }) => mono + termMs - this.#marginMs)
    const heldUntil = [this.#heldUntil ?? Infinity, this.#aloneAt]
    const times = [...lent, ...sentAt, ...heldUntil, this.#saidAt + SIGN_MS]
    const want = this.#want(now.mono)
    if (want > 0) times.push(this.#askAt(want))
    return Math.min(...times.filter((at) => at > now.mono))
  }

  /** By then all is over that a process before us can have lent or used. */
  get #longestMs(): number {
    const { termMs, windowMs } = this.#options
    return termMs * DRIFT + this.#marginMs + windowMs
  }

  /** Time at which our part is ours although others cannot know of us. Monotonic. */
  get #aloneAt(): number {
    return (this.#begunAt ?? Infinity) + this.#longestMs
  }

  /** For how long what came before may still be used elsewhere, or was a moment ago. */
  #holdMs(book: LoanBook): number {
    const { id, name, hasPredecessor } = this.#options
    const entries = Object.entries(book).filter(([other, one]) => other !== id && one.name === name)
    const longest = this.#longestMs
    if (entries.length === 0) return hasPredecessor ? longest : 0
    return Math.max(...entries.map(([, { left }]) => Math.min(longest, left ?? longest)))
  }

  /** The smallest of all settings counts. */
  #rate(mono: number): number {
    let { rate } = this.#use
    for (const { entry, heardAt } of this.#others.values()) {
      const isHere = entry.left === null && mono - heardAt < FORGOTTEN_MS
      if (isHere && entry.rate > 0) rate = Math.min(rate, entry.rate)
    }
    return rate
  }

  #part(mono: number): number {
    return Math.floor(this.#rate(mono) / this.#replicas)
  }

  /** Part that is ours alone, once no predecessor can have it. */
  #base(mono: number): number {
    const isHeld = mono < (this.#heldUntil ?? this.#aloneAt)
    return isHeld || !(this.#isEntered || mono >= this.#aloneAt) ? 0 : this.#part(mono)
  }

  #lentNow(mono: number): number {
    let sum = 0
    for (const borrower of this.#lent.keys()) sum += this.#lentTo(borrower, mono)
    return sum
  }

  #lentTo(borrower: string, mono: number): number {
    const lent = this.#lent.get(borrower) ?? []
    return Math.max(0, ...lent.map(({ count, until }) => (until > mono ? count : 0)))
  }

  /** A loan counts from when its question was sent, and ends before its lender can think so. */
  #isGood({ ask, termMs }: Loan, now: Instant): boolean {
    const sentAt = this.#asks.get(ask)
    if (sentAt === undefined) return false
    return elapsedMs(sentAt, now) < Math.min(termMs, this.#options.termMs) - this.#marginMs
  }

  #want(mono: number): number {
    const { used, waiting } = this.#use
    const isAlone = this.#others.values().every(({ entry }) => entry.left !== null)
    return isAlone || this.#heldUntil === null ? 0 : Math.max(0, used + waiting - this.#base(mono))
  }

  /** A question each third of a term, and sooner where much more is wanted than was asked for. */
  #askAt(want: number): number {
    const sentAt = this.#asks.get(this.#own.ask)?.mono ?? -Infinity
    return sentAt + this.#options.termMs / (want >= 2 * this.#own.want ? 30 : 3)
  }

  /** Loans to others that have asked; `null` if none has. */
  #answers(mono: number): Readonly<Record<string, Loan>> | null {
    const { used, waiting } = this.#use
    const asking = [...this.#others].filter(([id, other]) => this.#isAsking(id, other, mono))
    if (asking.length === 0) return null
    const loans: Record<string, Loan> = {}
    for (const [id, loan] of Object.entries(this.#own.loans)) {
      if (this.#lentTo(id, mono) > 0) loans[id] = loan
    }
    const base = this.#base(mono)
    // Negative where it is needed here: then others get less than they had.
    let spare = base - floorOf(base) - used - waiting - this.#lentNow(mono)
    for (const [at, [id, { entry, askedAt }]] of asking.entries()) {
      const had = this.#lentTo(id, mono)
      const more = spare > 0 ? Math.ceil(spare / (asking.length - at)) : spare
      const count = Math.max(0, Math.min(entry.want, had + more))
      spare = spare > 0 ? spare - Math.max(0, count - had) : Math.min(0, spare + had - count)
      delete loans[id]
      if (count === 0) continue
      loans[id] = { count, ask: entry.ask, termMs: this.#options.termMs }
      this.#lend(id, count, askedAt)
    }
    return isSame(loans, this.#own.loans) ? null : loans
  }

  /** It would have something of an answer, and has none. */
  #isAsking(id: string, { entry, askedAt }: Other, mono: number): boolean {
    const { want, ask, left } = entry
    if (left !== null || want === 0 || this.#own.loans[id]?.ask === ask) return false
    return mono < askedAt + this.#options.termMs / 2
  }

  #lend(borrower: string, count: number, askedAt: number): void {
    const { termMs, windowMs } = this.#options
    const until = askedAt + termMs * DRIFT + this.#marginMs + windowMs
    const larger = (this.#lent.get(borrower) ?? []).filter((one) => one.count > count)
    const [first, second, ...rest] = larger
    const isFull = larger.length >= MAX_LENT && first !== undefined && second !== undefined
    const kept = isFull ? [{ count: first.count, until: second.until }, ...rest] : larger
    this.#lent.set(borrower, [...kept, { count, until }])
  }

  #forget({ mono }: Instant): void {
    for (const [id, { heardAt }] of this.#others) {
      if (mono - heardAt < FORGOTTEN_MS) continue
      this.#others.delete(id)
      this.#borrowed.delete(id)
    }
    for (const [id, lent] of this.#lent) {
      const out = lent.filter(({ until }) => until > mono)
      if (out.length === 0) this.#lent.delete(id)
      else this.#lent.set(id, out)
    }
  }
}

function isSame(a: Readonly<Record<string, Loan>>, b: Readonly<Record<string, Loan>>): boolean {
  const ids = Object.keys(a)
  if (ids.length !== Object.keys(b).length) return false
  return ids.every((id) => a[id]?.count === b[id]?.count && a[id]?.ask === b[id]?.ask)
}

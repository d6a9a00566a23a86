import type { BookTrouble } from '../../ipc/allowance.ts'
import type { PageAsk, PageNews } from '../book/book-messages.ts'
import type { UsageBook } from '../book/usage-book.ts'
import {
  type AllowanceState,
  type Elsewhere,
  freeIn,
  needOf,
  spareIn,
  usualIn
} from './allowance-ledger.ts'

export interface CreditLeaseOptions {
  readonly book: Pick<UsageBook, 'ask' | 'problem' | 'hasOthers' | 'isNoticed'>
  readonly limit: () => Pick<PageAsk, 'key' | 'period' | 'cap' | 'createdAt' | 'reopened'>
  readonly state: () => AllowanceState
  readonly onChange: () => void
  readonly onNews: (news: PageNews) => void
  /** Monotonic milliseconds. */
  readonly now?: () => number
}

/** Share of what is left that is leased ahead, besides what the next requests of a worker need. */
const LEASED_AHEAD = 1 / 8
/** Time after which unneeded credits go back to the book: they would be lost with a gateway that is killed. */
const IDLE_MS = 400
/** Time for other gateways on the folder to give back what they hold; then requests are refused. */
const ASKING_MS = 1_500
const POLL_MS = 200
/** Longest wait of requests for a book that cannot be written. */
const PATIENCE_MS = 5_000
/** Longest use of held credits without it. */
const UNWRITTEN_MS = 60_000

/**
 * The part of a key's limit that this gateway has leased from the account book, for its ledger to hand out. A lease is in
 * the book before any of it is used.
 *
 *   limit = used and held by others + share of this gateway + free in the book
 *                                      └─ used, held by workers, free here: what the ledger deals with
 */
export class CreditLease {
  readonly #options: CreditLeaseOptions
  readonly #now: () => number
  /** Leased in this period, used or not; `null` until the book has said anything of it. */
  #share: number | null = null
  #usedElsewhere = 0
  #heldElsewhere = 0
  #wished = 0
  /** Kept from the workers, to be given back. */
  #hold = 0
  #isDamaged = false
  #isBusy = false
  #releasing = 0
  /** The book did not answer: something may have been given back. */
  #isBehind = false
  /** Start of an unmet need. */
  #neededAt: number | null = null
  #askedAt = -Infinity
  /** Time of the operator's statement that the book was last told. */
  #statedAt: number | null = null
  /** Start of having much more free than is usually needed. */
  #idleSince: number | null = null
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: CreditLeaseOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** `cap`: the limit, less what other gateways of a fleet have. */
  away(limit: number, cap: number): Pick<AllowanceState, 'away' | 'mayCome' | 'elsewhere'> {
    const share = this.#isShut ? 0 : Math.min(this.#share ?? 0, this.#most(cap))
    const elsewhere: Elsewhere = {
      used: this.#usedElsewhere,
      held: this.#heldElsewhere + limit - cap,
      problem: this.#trouble
    }
    return { away: limit - share + this.#hold, mayCome: this.#mayCome, elsewhere }
  }

  /** Used or held by other gateways on the folder. */
  get others(): number {
    return this.#usedElsewhere + this.#heldElsewhere
  }

  begin(): void {
    this.#share = null
    this.#usedElsewhere = 0
    this.#heldElsewhere = 0
    this.#hold = 0
    this.#wished = 0
    this.#idleSince = null
  }

  onPage({ used, share, settled, heldElsewhere, wishedElsewhere, isClosed }: PageNews): void {
    this.#share = Math.max(0, share - this.#releasing)
    this.#isBehind = false
    this.#usedElsewhere = used - settled
    this.#heldElsewhere = heldElsewhere
    this.#wished = wishedElsewhere
    this.#isDamaged = isClosed
    this.#options.onChange()
  }

  /** Most that this gateway may have: the limit may have shrunk since it was leased. */
  #most(cap: number): number {
    return Math.max(0, cap - this.#usedElsewhere - this.#heldElsewhere)
  }

  look(): void {
    if (this.#isClosed) return
    const state = this.#options.state()
    const { book } = this.#options
    const need = needOf(state)
    const now = this.#now()
    if (need === 0) this.#neededAt = null
    else this.#neededAt ??= now
    const release = this.#giveBack(state, need)
    const want = this.#want(state, need)
    if (this.#isBusy) return
    const isShared = book.hasOthers && this.#holdsAny(state)
    const isDue =
      this.#share === null ||
      this.#isBehind ||
      this.#isStated ||
      release > 0 ||
      (want > 0 && this.#mayGet) ||
      (isShared && this.#isPollDue)
    if (isDue) void this.#ask(want, release) // never rejects
    const isOpen = this.#neededAt !== null || this.#idleSince !== null
    if (isShared || book.problem !== null || isOpen) this.#wake(POLL_MS)
  }

  close(): void {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  /** Nothing may be used: the book is damaged, or was not written for too long. */
  get #isShut(): boolean {
    return this.#isDamaged || this.#unwrittenMs > UNWRITTEN_MS
  }

  get #unwrittenMs(): number {
    const { problem } = this.#options.book
    return problem === null ? 0 : this.#now() - problem.since
  }

  get #trouble(): BookTrouble | null {
    if (this.#isDamaged) return 'damaged'
    const { problem } = this.#options.book
    return problem === null ? null : 'unwritable'
  }

  get #waitedMs(): number {
    return this.#neededAt === null ? 0 : this.#now() - this.#neededAt
  }

  get #mayCome(): boolean {
    if (this.#isDamaged) return false
    if (this.#options.book.problem !== null) return !this.#isShut && this.#waitedMs < PATIENCE_MS
    if (this.#share === null || this.#isBusy) return true
    if (this.#isFree) return true
    const { hasOthers, isNoticed } = this.#options.book
    return this.#heldElsewhere > 0 && hasOthers && (!isNoticed || this.#waitedMs < ASKING_MS)
  }

  get #isFree(): boolean {
    const { cap } = this.#options.limit()
    return cap - this.#usedElsewhere - this.#heldElsewhere - (this.#share ?? 0) > 0
  }

  /** The book has something, or others on the folder may have given something back. */
  get #mayGet(): boolean {
    if (this.#isDamaged) return this.#options.limit().reopened !== null && this.#isPollDue
    return this.#isFree || (this.#options.book.hasOthers && this.#isPollDue)
  }

  get #isPollDue(): boolean {
    return this.#now() - this.#askedAt >= POLL_MS
  }

  #holdsAny(state: AllowanceState): boolean {
    return (this.#share ?? 0) - state.settled > 0
  }

  #want(state: AllowanceState, need: number): number {
    const free = freeIn(state) + this.#hold
    const ahead = this.#aheadOf(state, this.#left)
    if (need > 0) return need + ahead
    return this.#wished === 0 && free * 2 < ahead ? ahead - Math.max(0, free) : 0
  }

  /** Credits that are not leased by any gateway. */
  get #left(): number {
    const { cap } = this.#options.limit()
    return Math.max(0, cap - this.#usedElsewhere - this.#heldElsewhere - (this.#share ?? 0))
  }

  #aheadOf(state: AllowanceState, left: number): number {
    return Math.ceil(Math.min(usualIn(state), left * LEASED_AHEAD))
  }

  /** Free for some time, beyond what the next requests usually take. Nothing while the book cannot be written. */
  #idle(state: AllowanceState, free: number): number {
    const ahead = this.#aheadOf(state, this.#left + free)
    if (this.#options.book.problem !== null || free <= ahead * 2) {
      this.#idleSince = null
      return 0
    }
    this.#idleSince ??= this.#now()
    return this.#now() - this.#idleSince < IDLE_MS ? 0 : free - ahead
  }

  /** Returns what to give back now, and recalls what workers do not need. */
  #giveBack(state: AllowanceState, need: number): number {
    if (this.#share === null || this.#isBusy) return 0
    const free = Math.max(0, freeIn(state) + this.#hold)
    const idle = this.#idle(state, free)
    const given = need > 0 ? 0 : Math.min(free, Math.max(this.#wished, idle))
    const over = Math.max(0, this.#share - this.#most(this.#options.limit().cap))
    const surplus = Math.max(0, Math.min(over, over + freeIn(state) + this.#hold))
    const release = given + surplus
    this.#share -= release
    this.#wished = Math.max(0, this.#wished - given)
    const hold = need > 0 ? 0 : Math.min(this.#wished, Math.max(0, spareIn(state)))
    if (release === 0 && hold === this.#hold) return 0
    this.#hold = hold
    this.#options.onChange()
    return release
  }

  /** An operator has stated the usage of a closed key, and the book does not know it yet. */
  get #isStated(): boolean {
    const { reopened } = this.#options.limit()
    return this.#isDamaged && reopened !== null && reopened.at !== this.#statedAt
  }

  /** Never rejects. */
  async #ask(want: number, release: number): Promise<void> {
    this.#isBusy = true
    this.#statedAt = this.#options.limit().reopened?.at ?? null
    this.#releasing = release
    this.#askedAt = this.#now()
    try {
      const news = await this.#options.book.ask({ ...this.#options.limit(), want, release })
      this.#isBusy = false
      this.#releasing = 0
      this.#options.onNews(news)
      this.look() // more may be wanted by now
    } catch {
      // Asked again; the book says what is wrong.
      this.#isBusy = false
      this.#releasing = 0
      this.#isBehind = true
      this.#options.onChange()
      this.#wake(POLL_MS)
    }
  }

  #wake(ms: number): void {
    if (this.#timer !== null || this.#isClosed) return
    this.#timer = setTimeout(() => {
      this.#timer = null
      this.#options.onChange()
      this.look()
    }, ms).unref()
  }
}

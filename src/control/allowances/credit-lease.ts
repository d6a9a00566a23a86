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
  /** Returns the key, its limit and its period, as the book asks for them. */
  readonly terms: () => Pick<PageAsk, 'key' | 'period' | 'cap' | 'createdAt' | 'reopened'>
  readonly state: () => AllowanceState
  /** Called when `away()` has changed. */
  readonly onChange: () => void
  /** Called with what the book says of the key. */
  readonly onNews: (news: PageNews) => void
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

/** Beyond what its workers hold this gateway leases what the next requests of one of them need, and no more than this part of what is left. */
const LEASED_AHEAD = 1 / 8
/** Time for other gateways on the same folder to give back what they hold, once they know this one; after it requests are refused. */
const ASKING_MS = 1_500
/** Interval between checks of usage and needs. */
const POLL_MS = 200
/** Requests wait so long for a book that cannot be written. */
const PATIENCE_MS = 5_000
/** Workers may go on so long with what they hold. */
const UNWRITTEN_MS = 60_000

/**
 * The part of a key's limit that this gateway has leased in the account book, and that its ledger may hand out to workers.
 * A lease is in the book before any of it is used.
 *
 * ```
 *   limit = used and held by others + share of this gateway + free in the book
 *                                      └─ used, held by workers, free here: what the ledger deals with
 * ```
 */
export class CreditLease {
  readonly #options: CreditLeaseOptions
  readonly #now: () => number
  /** Leased in this period, used or not; `null` while the book has said nothing of this period. */
  #share: number | null = null
  #usedElsewhere = 0
  #heldElsewhere = 0
  #wished = 0
  /** Kept from the workers, to be given back. */
  #hold = 0
  #isDamaged = false
  #isBusy = false
  /** Part of what the book is asked just now. */
  #releasing = 0
  /** The book did not answer: nobody knows whether something was given back. */
  #isBehind = false
  /** Since when there is a need that the book has not met. */
  #neededAt: number | null = null
  #askedAt = -Infinity
  #timer: NodeJS.Timeout | null = null
  #isClosed = false

  constructor(options: CreditLeaseOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
  }

  /** Returns what the ledger has to take for not there. `cap` is the limit, less what other gateways of a fleet have. */
  away(limit: number, cap: number): Pick<AllowanceState, 'away' | 'mayCome' | 'elsewhere'> {
    const share = this.#isShut ? 0 : Math.min(this.#share ?? 0, this.#most(cap))
    const elsewhere: Elsewhere = {
      used: this.#usedElsewhere,
      held: this.#heldElsewhere + limit - cap,
      problem: this.#trouble
    }
    return { away: limit - share + this.#hold, mayCome: this.#mayCome, elsewhere }
  }

  /** Credits that other gateways on the same folder have used or hold. */
  get others(): number {
    return this.#usedElsewhere + this.#heldElsewhere
  }

  /** Another period has begun. */
  begin(): void {
    this.#share = null
    this.#usedElsewhere = 0
    this.#heldElsewhere = 0
    this.#hold = 0
    this.#wished = 0
  }

  /** Takes in what the book says of this period. */
  onPage({ used, share, settled, heldElsewhere, wishedElsewhere, isClosed }: PageNews): void {
    this.#share = Math.max(0, share - this.#releasing)
    this.#isBehind = false
    this.#usedElsewhere = used - settled
    this.#heldElsewhere = heldElsewhere
    this.#wished = wishedElsewhere
    this.#isDamaged = isClosed
    this.#options.onChange()
  }

  /** Most that this gateway may have: the limit may have become smaller since it was leased. */
  #most(cap: number): number {
    return Math.max(0, cap - this.#usedElsewhere - this.#heldElsewhere)
  }

  /** Leases what is needed, and gives back what others wish for. */
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
      release > 0 ||
      (want > 0 && this.#mayGet) ||
      (isShared && this.#isPollDue)
    if (isDue) void this.#ask(want, release) // never rejects
    if (isShared || book.problem !== null || this.#neededAt !== null) this.#wake(POLL_MS)
  }

  close(): void {
    this.#isClosed = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  /** Nothing may be used: the book is damaged, or has not been written for too long. */
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

  /** More may still arrive: waiters are not refused yet. */
  get #mayCome(): boolean {
    if (this.#isDamaged) return false
    if (this.#options.book.problem !== null) return !this.#isShut && this.#waitedMs < PATIENCE_MS
    if (this.#share === null || this.#isBusy) return true
    if (this.#isFree) return true
    const { hasOthers, isNoticed } = this.#options.book
    return this.#heldElsewhere > 0 && hasOthers && (!isNoticed || this.#waitedMs < ASKING_MS)
  }

  /** As far as is known there is something in the book. */
  get #isFree(): boolean {
    const { cap } = this.#options.terms()
    return cap - this.#usedElsewhere - this.#heldElsewhere - (this.#share ?? 0) > 0
  }

  /** It is worth asking the book: it has something, or others on the same folder may have given something back. */
  get #mayGet(): boolean {
    if (this.#isDamaged) return this.#options.terms().reopened !== null && this.#isPollDue
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
    const { cap } = this.#options.terms()
    const left = Math.max(0, cap - this.#usedElsewhere - this.#heldElsewhere - (this.#share ?? 0))
    const ahead = Math.ceil(Math.min(usualIn(state), left * LEASED_AHEAD))
    if (need > 0) return need + ahead
    return this.#wished === 0 && free * 2 < ahead ? ahead - Math.max(0, free) : 0
  }

  /** Returns what goes back to the book now, and has the workers return what they do not need. */
  #giveBack(state: AllowanceState, need: number): number {
    if (this.#share === null || this.#isBusy) return 0
    const free = Math.max(0, freeIn(state) + this.#hold)
    const given = need > 0 ? 0 : Math.min(free, this.#wished)
    const over = Math.max(0, this.#share - this.#most(this.#options.terms().cap))
    const surplus = Math.max(0, Math.min(over, over + freeIn(state) + this.#hold))
    const release = given + surplus
    this.#share -= release
    this.#wished -= given
    const hold = need > 0 ? 0 : Math.min(this.#wished, Math.max(0, spareIn(state)))
    if (release === 0 && hold === this.#hold) return 0
    this.#hold = hold
    this.#options.onChange()
    return release
  }

  /** Never rejects. */
  async #ask(want: number, release: number): Promise<void> {
    this.#isBusy = true
    this.#releasing = release
    this.#askedAt = this.#now()
    try {
      const news = await this.#options.book.ask({ ...this.#options.terms(), want, release })
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

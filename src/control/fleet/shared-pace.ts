import { type LoanBook, parseLoanBook, withEntry } from '../../fleet/loan-book.ts'
import { RateLoans, type RateLoansOptions } from '../../fleet/rate-loans.ts'
import { instantNow } from '../../shared/elapsed.ts'
import type { Budget } from '../budget/budget.ts'
import { MINUTE } from '../budget/pace.ts'
import type { FoundValue, SharedRecords, SharedValue } from './shared-records.ts'

export interface SharedPaceOptions
  extends Pick<RateLoansOptions, 'id' | 'name' | 'replicas' | 'termMs' | 'hasPredecessor'> {
  /** Number of gateways here, or reported by others. */
  readonly seenReplicas: () => number
  readonly budget: Pick<Budget, 'adapt' | 'configuredPace' | 'state'>
  readonly hub: Pick<SharedRecords, 'add'>
}

/** Every report of a worker may change what is needed: it is looked at once for all within so long. */
const LOOK_MS = 50
/** Timers do not count while a machine sleeps, so none is longer than this. */
const LONGEST_WAIT_MS = 60_000

/**
 * Share of UPSTREAM_MAX_REQUESTS_PER_MINUTE for this gateway of a fleet. Nothing is shared while there is no limit.
 */
export class SharedPace implements SharedValue<LoanBook> {
  readonly name = 'pace'
  readonly gapMs: number
  readonly parse = parseLoanBook
  readonly #options: SharedPaceOptions
  readonly #loans: RateLoans
  #limit = 0
  #touch: (() => void) | null = null
  #timer: NodeJS.Timeout | null = null
  #aimedAt = Infinity
  #lookedAt = 0
  #hasLeft = false

  constructor(options: SharedPaceOptions) {
    this.#options = options
    this.gapMs = options.termMs / 100
    this.#loans = new RateLoans({ ...options, windowMs: MINUTE.ms + MINUTE.marginMs })
  }

  /** Requests that may be sent from here within a minute. */
  get limit(): number {
    return this.#limit
  }

  /** The budget has changed in some way. */
  onRecorded(): void {
    const { budget, hub } = this.#options
    if (this.#touch === null) {
      if (budget.configuredPace === null) return
      this.#touch = hub.add(this)
    }
    this.#aim(this.#lookedAt + LOOK_MS)
  }

  readonly next = (found: FoundValue<LoanBook> | null): LoanBook | null => {
    const book = found?.value ?? {}
    this.#loans.onBook(book, instantNow())
    this.#aim(this.#lookedAt + LOOK_MS)
    return withEntry(book, this.#options.id, this.#loans.own)
  }

  readonly onFound = ({ value }: FoundValue<LoanBook>): void => {
    this.#loans.onBook(value, instantNow())
    this.#look() // what was asked for is answered at once
  }

  /** Nothing is sent from here any more. */
  leave(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#hasLeft = true
    if (this.#touch === null) return
    this.#note()
    this.#loans.leave(instantNow())
    this.#touch()
  }

  #look(): void {
    if (this.#hasLeft) return
    this.#note()
    const now = instantNow()
    this.#lookedAt = performance.now()
    const isNews = this.#loans.look(now)
    const limit = this.#loans.limit(now)
    const isOther = limit !== this.#limit
    this.#limit = limit
    if (isOther) this.#options.budget.adapt() // before others can have what is lent
    if (isNews) this.#touch?.()
    this.#aimedAt = Infinity
    this.#aim(this.#lookedAt + Math.min(LONGEST_WAIT_MS, this.#loans.wakeAt(now) - now.mono))
  }

  #note(): void {
    const { budget, seenReplicas } = this.#options
    this.#loans.setReplicas(seenReplicas())
    const { used, waiting } = budget.state().pace ?? { used: 0, waiting: 0 }
    this.#loans.setUse({ rate: budget.configuredPace ?? 0, used, waiting })
  }

  /** Looks at that time of the monotonic clock, or earlier. */
  #aim(at: number): void {
    if (this.#hasLeft || at >= this.#aimedAt) return
    this.#aimedAt = at
    if (this.#timer !== null) clearTimeout(this.#timer)
    const waitMs = Math.max(0, Math.ceil(at - performance.now()))
    this.#timer = setTimeout(() => this.#look(), waitMs).unref()
  }
}

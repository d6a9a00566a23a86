import type { MemoryBudget, Reservation } from '../admission/memory-budget.ts'
import type { AnswerRoom } from '../dialects/answer/long-text.ts'
import { GatewayError } from '../shared/errors.ts'

/** What every answer may hold beside the budget; nearly all need no more. */
const FREE_BYTES = 16_384
/** What is taken at a time. */
const STEP_BYTES = 65_536
/** Answers up to this size have a lane of their own, so that bodies never leave them without room. */
const LANE_ANSWER_BYTES = 262_144

export interface AnswerBudgetOptions {
  /** That of request bodies. */
  readonly budget: MemoryBudget
  /** For answers of a usual size, while the budget is in use. */
  readonly lane: MemoryBudget
}

export interface AnswerLimits {
  /** Of all that the model says. */
  readonly maxBytes: number
  /** A stream ends as an incomplete answer where its room ends; one in one piece fails. */
  readonly isStream: boolean
}

/** Of the memory for request bodies, what answers may hold together, and what while no body waits for some. */
const SHARE = 1 / 2
const IDLE_SHARE = 7 / 8

/**
 * What a worker's answers may hold together: half of the memory for request bodies. How long an answer becomes nobody
 * knows, and bodies that wait for memory must not wait for all of them to end. Where none waits, answers have nearly
 * all of it: bodies that come later still find the rest, and small ones have a lane. What an upstream makes them hold for
 * a moment is never more than the half.
 */
export class AnswerBudget {
  readonly #budget: MemoryBudget
  readonly #lane: MemoryBudget
  #reservedBytes = 0

  constructor({ budget, lane }: AnswerBudgetOptions) {
    this.#budget = budget
    this.#lane = lane
  }

  /** Held beside the budget. */
  get laneBytes(): number {
    return this.#lane.reservedBytes
  }

  /** Memory for one answer, which has to be released when it has been sent. */
  open(limits: AnswerLimits): AnswerMemory {
    return new AnswerMemory(this, limits)
  }

  /**
   * So many bytes more for an answer that has `heldBytes` by now; never waits.
   *
   * @throws {GatewayError} GW_MEMORY_FULL
   */
  take(bytes: number, heldBytes: number, idleShare = IDLE_SHARE): Disposable {
    const share = (this.#reservedBytes + bytes) / this.#budget.totalBytes
    if (share <= idleShare && this.#budget.isFree(bytes)) return this.#takeShare(bytes)
    if (heldBytes + bytes <= LANE_ANSWER_BYTES && this.#lane.isFree(bytes)) {
      return this.#lane.grow(bytes)
    }
    // Who waits for memory is not overtaken unless there is no other way to go on.
    if (share <= SHARE) return this.#takeShare(bytes)
    throw new GatewayError('GW_MEMORY_FULL', `answers hold ${this.#reservedBytes} bytes`, {
      retryAfterS: RETRY_AFTER_S
    })
  }

  #takeShare(bytes: number): Disposable {
    const reservation: Reservation = this.#budget.grow(bytes)
    reservation.loosenTo(bytes)
    this.#reservedBytes += bytes
    return {
      [Symbol.dispose]: () => {
        this.#reservedBytes -= bytes
        reservation.release()
      }
    }
  }
}

/** A part of the budget. */
interface Taken {
  readonly part: Disposable
  readonly bytes: number
}

/** Until other answers have ended, in all likelihood. */
const RETRY_AFTER_S = 5

const FULL_MESSAGE =
  'The answer became too long for the memory that is free. Try again shortly, ask for a shorter answer, or stream it: ' +
  'streams need hardly any.'

/**
 * The memory of one answer. Counts what is held, in bytes of this process, and takes it from the budget in steps; gives
 * it back in the end, all at once, but for what was only lent.
 *
 * ```
 *   open ──more than MAX_ANSWER_BYTES, or no memory left──▶ full: a stream ends, an answer in one piece throws
 * ```
 */
export class AnswerMemory implements AnswerRoom, Disposable {
  readonly #budget: AnswerBudget
  readonly #limits: AnswerLimits
  /** Bounded by the steps of an answer of the largest size. */
  readonly #reservations: Disposable[] = []
  /** What is held for a moment. Bounded by the steps of the largest frame. */
  readonly #lent: Taken[] = []
  #saidBytes = 0
  #heldBytes = 0
  #reservedBytes = 0
  #refusal: GatewayError | null = null

  constructor(budget: AnswerBudget, limits: AnswerLimits) {
    this.#budget = budget
    this.#limits = limits
  }

  /** Why there is no more room; `null` while there is. */
  get refusal(): GatewayError | null {
    return this.#refusal
  }

  get isFull(): boolean {
    return this.#refusal !== null
  }

  say(bytes: number): boolean {
    const { maxBytes } = this.#limits
    this.#saidBytes += bytes
    if (this.#refusal !== null || this.#saidBytes <= maxBytes) return !this.#refuses()
    this.#refusal = new GatewayError('GW_ANSWER_TOO_LARGE', `more than ${maxBytes} bytes`)
    return !this.#refuses()
  }

  hold(bytes: number): boolean {
    if (this.#refuses()) return false
    const heldBytes = this.#heldBytes + bytes
    const missing = heldBytes - FREE_BYTES - this.#reservedBytes
    if (missing > 0 && !this.#reserve(Math.max(STEP_BYTES, missing))) return false
    this.#heldBytes = heldBytes
    return true
  }

  /**
   * So many bytes are held for a moment, in place of those before. It is the upstream's doing that they are many, not the
   * length of the answer, so that this breaks off.
   *
   * @throws {GatewayError} GW_MEMORY_FULL
   */
  lend(bytes: number): void {
    let spare = this.#lentBytes + Math.max(0, FREE_BYTES - this.#heldBytes) - bytes
    if (spare < 0) {
      const missing = Math.max(STEP_BYTES, -spare)
      const part = this.#budget.take(missing, this.#reservedBytes + this.#lentBytes, SHARE)
      this.#lent.push({ part, bytes: missing })
      return
    }
    for (let last = this.#lent.at(-1); last && last.bytes <= spare; last = this.#lent.at(-1)) {
      this.#lent.pop()
      last.part[Symbol.dispose]()
      spare -= last.bytes
    }
  }

  release(): void {
    for (const reservation of this.#reservations.splice(0)) reservation[Symbol.dispose]()
    for (const { part } of this.#lent.splice(0)) part[Symbol.dispose]()
    this.#reservedBytes = 0
  }

  [Symbol.dispose](): void {
    this.release()
  }

  get #lentBytes(): number {
    let sum = 0
    for (const { bytes } of this.#lent) sum += bytes
    return sum
  }

  #reserve(bytes: number): boolean {
    try {
      this.#reservations.push(this.#budget.take(bytes, this.#reservedBytes))
      this.#reservedBytes += bytes
    } catch (cause) {
      if (!(cause instanceof GatewayError)) throw cause
      const { detail, retryAfterS = RETRY_AFTER_S } = cause
      const options = { message: FULL_MESSAGE, retryAfterS, cause }
      this.#refusal = new GatewayError('GW_MEMORY_FULL', detail, options)
    }
    return !this.#refuses()
  }

  #refuses(): boolean {
    if (this.#refusal !== null && !this.#limits.isStream) throw this.#refusal
    return this.#refusal !== null
  }
}

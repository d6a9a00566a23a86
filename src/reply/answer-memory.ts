import type { MemoryBudget, Reservation } from '../admission/memory-budget.ts'
import type { AnswerRoom } from '../dialects/answer/output-text.ts'
import { GatewayError } from '../shared/errors.ts'

/** Bytes that an answer may hold outside of the budget; nearly all need no more. */
const FREE_BYTES = 16_384
/** Bytes that it may also hold for a moment: nearly all frames are shorter. */
const FREE_MOMENT_BYTES = 4096
const STEP_BYTES = 65_536
/** Smaller answers have a lane of their own, so that bodies never leave them without room. */
const LANE_ANSWER_BYTES = 262_144

export interface AnswerBudgetOptions {
  readonly budget: MemoryBudget
  /** Memory for small answers, while the budget is in use. */
  readonly lane: MemoryBudget
}

export interface AnswerLimits {
  /** Bytes of the model's words. */
  readonly maxBytes: number
  /** A full stream ends as incomplete; a full answer in one piece fails. */
  readonly isStream: boolean
}

/** Share of the body memory for all answers; more while no body waits for memory. */
const SHARE = 1 / 2
const IDLE_SHARE = 7 / 8

/**
 * Memory for the answers of a worker: half of that for request bodies, which must not wait for answers of
 * unknown length; nearly all while no body waits. What the upstream makes an answer hold for a moment never
 * exceeds the half.
 */
export class AnswerBudget {
  readonly #budget: MemoryBudget
  readonly #lane: MemoryBudget
  #reservedBytes = 0

  constructor({ budget, lane }: AnswerBudgetOptions) {
    this.#budget = budget
    this.#lane = lane
  }

  get laneBytes(): number {
    return this.#lane.reservedBytes
  }

  open(limits: AnswerLimits): AnswerMemory {
    return new AnswerMemory(this, limits)
  }

  /**
   * `heldBytes`: of the answer.
   * @throws {GatewayError} GW_MEMORY_FULL
   */
  take(bytes: number, heldBytes: number, idleShare = IDLE_SHARE): Disposable {
    const share = (this.#reservedBytes + bytes) / this.#budget.totalBytes
    if (share <= idleShare && this.#budget.isFree(bytes)) return this.#takeShare(bytes)
    if (heldBytes + bytes <= LANE_ANSWER_BYTES && this.#lane.isFree(bytes)) {
      return this.#lane.grow(bytes)
    }
    // Waiting bodies are overtaken only if the answer could not go on otherwise.
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

const RETRY_AFTER_S = 5

const FULL_MESSAGE =
  'The answer is too long for the free memory. Try again shortly, ask for a shorter answer, or stream it: ' +
  'streams need hardly any memory.'

/**
 * Memory of one answer: counts held bytes and takes them from the budget in steps.
 *
 *   open ──more than MAX_ANSWER_BYTES, or no memory left──▶ full: a stream ends, an answer in one piece throws
 */
export class AnswerMemory implements AnswerRoom, Disposable {
  readonly #limits: AnswerLimits
  readonly #held: Steps
  readonly #lent: Steps
  #saidBytes = 0
  #heldBytes = 0
  #refusal: GatewayError | null = null

  constructor(budget: AnswerBudget, limits: AnswerLimits) {
    this.#limits = limits
    // A spare step stays, so that pieces that come and go do not take and free one each time.
    const held = { freeBytes: FREE_BYTES, spareBytes: STEP_BYTES }
    this.#held = new Steps(held, (bytes) => budget.take(bytes, this.#held.bytes))
    const lent = { freeBytes: FREE_MOMENT_BYTES, spareBytes: 0 }
    this.#lent = new Steps(lent, (bytes) =>
      budget.take(bytes, this.#held.bytes + this.#lent.bytes, SHARE)
    )
  }

  /** `null` while there is room. */
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
    try {
      this.#held.cover(this.#heldBytes + bytes)
      this.#heldBytes += bytes
    } catch (cause) {
      if (!(cause instanceof GatewayError)) throw cause
      const { retryAfterS = RETRY_AFTER_S } = cause
      this.#refusal = cause.with({ message: FULL_MESSAGE, retryAfterS, cause })
    }
    return !this.#refuses()
  }

  free(bytes: number): void {
    this.#heldBytes -= bytes
    this.#held.cover(this.#heldBytes)
  }

  /**
   * Sets the bytes held for a moment, which are the upstream's doing and not the answer's length.
   * @throws {GatewayError} GW_MEMORY_FULL
   */
  lend(bytes: number): void {
    this.#lent.cover(bytes)
  }

  release(): void {
    this.#held.release()
    this.#lent.release()
  }

  [Symbol.dispose](): void {
    this.release()
  }

  #refuses(): boolean {
    if (this.#refusal !== null && !this.#limits.isStream) throw this.#refusal
    return this.#refusal !== null
  }
}

interface StepLimits {
  /** Bytes that need not be taken. */
  readonly freeBytes: number
  /** Bytes that may stay taken although unneeded. */
  readonly spareBytes: number
}

/** Takes and frees memory in steps, for something that grows and shrinks. */
class Steps {
  readonly #limits: StepLimits
  readonly #take: (bytes: number) => Disposable
  /** Bounded by the steps of an answer, or a frame, of the largest size. */
  readonly #parts: { readonly part: Disposable; readonly bytes: number }[] = []
  #bytes = 0

  constructor(limits: StepLimits, take: (bytes: number) => Disposable) {
    this.#limits = limits
    this.#take = take
  }

  get bytes(): number {
    return this.#bytes
  }

  cover(neededBytes: number): void {
    const { freeBytes, spareBytes } = this.#limits
    const missing = neededBytes - freeBytes - this.#bytes
    if (missing > 0) this.#add(Math.max(STEP_BYTES, missing))
    for (let last = this.#parts.at(-1); last !== undefined; last = this.#parts.at(-1)) {
      const spare = last.bytes > STEP_BYTES ? 0 : spareBytes
      if (neededBytes + spare > freeBytes + this.#bytes - last.bytes) return
      this.#drop(last)
    }
  }

  release(): void {
    for (const part of this.#parts.toReversed()) this.#drop(part)
  }

  #add(bytes: number): void {
    this.#parts.push({ part: this.#take(bytes), bytes })
    this.#bytes += bytes
  }

  #drop({ part, bytes }: { readonly part: Disposable; readonly bytes: number }): void {
    this.#parts.pop()
    this.#bytes -= bytes
    part[Symbol.dispose]()
  }
}

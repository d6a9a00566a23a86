import type { MemoryBudget } from '../admission/memory-budget.ts'
import type { Reservation } from '../admission/reservation.ts'
import type { AnswerRoom } from '../dialects/answer/output-text.ts'
import { GatewayError } from '../shared/errors.ts'

/** Bytes that every answer may hold beside the budget; nearly all need no more. */
const FREE_BYTES = 16_384
/** Bytes that it may hold for a moment beside that: nearly all frames are shorter. */
const FREE_MOMENT_BYTES = 4096
/** Bytes that are taken at a time. */
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
  /** Longest answer, in bytes of the model's words. */
  readonly maxBytes: number
  /** A stream ends as an incomplete answer where its room ends; one in one piece fails. */
  readonly isStream: boolean
}

/** Parts of the memory for request bodies that answers may hold together: usually, and while no body waits for memory. */
const SHARE = 1 / 2
const IDLE_SHARE = 7 / 8

/**
 * The memory that a worker's answers hold together: at most half of that for request bodies. The length of an answer is not known in
 * advance, and bodies that wait for memory must not wait for all of them to end. Where none waits, answers have nearly
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
   * Takes more bytes for an answer that has `heldBytes` by now. Never waits.
   *
   * @throws {GatewayError} GW_MEMORY_FULL
   */
  take(bytes: number, heldBytes: number, idleShare = IDLE_SHARE): Disposable {
    const share = (this.#reservedBytes + bytes) / this.#budget.totalBytes
    if (share <= idleShare && this.#budget.isFree(bytes)) return this.#takeShare(bytes)
    if (heldBytes + bytes <= LANE_ANSWER_BYTES && this.#lane.isFree(bytes)) {
      return this.#lane.grow(bytes)
    }
    // Waiting bodies are overtaken only where the answer could not go on otherwise.
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

/** Until other answers have ended, in all likelihood. */
const RETRY_AFTER_S = 5

const FULL_MESSAGE =
  'The answer is too long for the free memory. Try again shortly, ask for a shorter answer, or stream it: ' +
  'streams need hardly any memory.'

/**
 * The memory of one answer. Counts what is held, in bytes of this process, and takes it from the budget in steps.
 *
 * ```
 *   open ──more than MAX_ANSWER_BYTES, or no memory left──▶ full: a stream ends, an answer in one piece throws
 * ```
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
    // Pieces come and go: one step more than is needed stays, so that not each of them is taken and given back.
    const held = { freeBytes: FREE_BYTES, spareBytes: STEP_BYTES }
    this.#held = new Steps(held, (bytes) => budget.take(bytes, this.#held.bytes))
    const lent = { freeBytes: FREE_MOMENT_BYTES, spareBytes: 0 }
    this.#lent = new Steps(lent, (bytes) =>
      budget.take(bytes, this.#held.bytes + this.#lent.bytes, SHARE)
    )
  }

  /** Why room has run out; `null` while it has not. */
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
   * Sets how many bytes are held for a moment. It is the upstream's doing that they are many, not the
   * length of the answer, so that this breaks off.
   *
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
  /** Bytes of a usual step that may stay taken although they are not needed. */
  readonly spareBytes: number
}

/** Memory for something that grows and shrinks, taken and given back in steps. */
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

  /** Bytes that have been taken. */
  get bytes(): number {
    return this.#bytes
  }

  /** Takes or gives back until the needed bytes are covered. @throws what `take` throws, and nothing has changed */
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

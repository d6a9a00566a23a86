import type { MemoryBudget, Reservation } from '../admission/memory-budget.ts'
import { abortErrorOf } from '../shared/abort-error.ts'
import type { BodyRoom } from './request-body.ts'

/**
 * Bytes of memory that a body of one byte takes at most while it is converted; the heaps of threads are planned
 * for themselves.
 *
 * Measured as array buffers at their peak, with coding agents' bodies of 5 and 10 MB in both dialects: a thread is
 * moved the body and moves a payload of 1.03 back, so that both together take 2.03 and this thread never more than
 * 1.03 of it. What is converted inline takes 2.03 as well and beside it 7 to 8 times its size of this heap, most of
 * it garbage at once: it is counted with more, which costs little at its size.
 */
const FACTOR_IN_THREAD = 2
const FACTOR_INLINE = 4
/** The payload, and once more where it is copied for another attempt, until the answer begins. */
const FACTOR_WHILE_HELD = 2

export interface BodyMemoryOptions {
  readonly budget: MemoryBudget
  /** Bodies up to this size are converted on the event loop. */
  readonly inlineMaxBytes: number
  /** Ends the wait for memory. */
  readonly signal: AbortSignal
}

/** The memory set aside for one request. After `release()` nothing is held, and nothing is waited for. */
export class BodyMemory implements BodyRoom, Disposable {
  /** Of the bodies that will ever fit. */
  readonly largestBytes: number
  readonly #budget: MemoryBudget
  readonly #inlineMaxBytes: number
  readonly #signal: AbortSignal
  readonly #reservations: Reservation[] = []
  #bytes = 0
  #isReleased = false
  /** Ends a wait for memory; most requests need not wait, and joining two signals costs them more than all else here. */
  #wait: AbortController | null = null

  constructor({ budget, inlineMaxBytes, signal }: BodyMemoryOptions) {
    this.#budget = budget
    this.#inlineMaxBytes = inlineMaxBytes
    this.#signal = signal
    this.largestBytes = largestThatFits(budget.totalBytes, inlineMaxBytes)
  }

  async reserve(bodyBytes: number): Promise<void> {
    const bytes = bytesFor(bodyBytes, this.#inlineMaxBytes)
    this.#refuseReleased()
    const signal = this.#budget.isFree(bytes) ? this.#signal : this.#waitSignal()
    const reservation = await this.#budget.reserve(bytes, signal)
    if (this.#isReleased) reservation.release()
    else this.#add(reservation)
  }

  grow(bodyBytes: number): void {
    this.#refuseReleased()
    const more = bytesFor(bodyBytes, this.#inlineMaxBytes) - this.#bytes
    if (more > 0) this.#add(this.#budget.grow(more))
  }

  /** The body is gone, its payload is left. */
  shrinkTo(payloadBytes: number): void {
    let left = payloadBytes * FACTOR_WHILE_HELD
    for (const reservation of this.#reservations) {
      reservation.shrinkTo(left)
      left -= reservation.bytes
    }
  }

  /**
   * The payload that is left has grown.
   *
   * @throws {GatewayError} GW_MEMORY_FULL; the signal's own error.
   */
  growTo(payloadBytes: number): void {
    this.#refuseReleased()
    const held = this.#reservations.reduce((sum, { bytes }) => sum + bytes, 0)
    const more = payloadBytes * FACTOR_WHILE_HELD - held
    if (more > 0) this.#add(this.#budget.grow(more))
  }

  release(): void {
    this.#isReleased = true
    this.#wait?.abort()
    for (const reservation of this.#reservations) reservation.release()
  }

  [Symbol.dispose](): void {
    this.release()
  }

  #refuseReleased(): void {
    if (this.#signal.aborted || this.#isReleased) throw abortErrorOf(this.#signal)
  }

  #waitSignal(): AbortSignal {
    this.#wait ??= new AbortController()
    return AbortSignal.any([this.#signal, this.#wait.signal])
  }

  #add(reservation: Reservation): void {
    this.#reservations.push(reservation)
    this.#bytes += reservation.bytes
  }
}

/** Grows with the body: one byte more never needs less. */
function bytesFor(bodyBytes: number, inlineMaxBytes: number): number {
  return Math.max(bodyBytes * FACTOR_IN_THREAD, Math.min(bodyBytes, inlineMaxBytes) * FACTOR_INLINE)
}

/** The other way round: the largest body for which so many bytes are enough. */
function largestThatFits(totalBytes: number, inlineMaxBytes: number): number {
  const factor = totalBytes < inlineMaxBytes * FACTOR_INLINE ? FACTOR_INLINE : FACTOR_IN_THREAD
  return Math.floor(totalBytes / factor)
}

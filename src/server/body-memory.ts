import type { MemoryBudget } from '../admission/memory-budget.ts'
import type { Reservation } from '../admission/reservation.ts'
import { abortErrorOf } from '../shared/abort-error.ts'
import type { DataPlane } from './data-plane.ts'
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

/** Bodies up to this size have a lane of their own beside the budget, so that large ones never hold them up. */
export const SMALL_BODY_BYTES = 128 * 1024

export interface BodyMemoryOptions {
  readonly budget: MemoryBudget
  /** For small bodies, while the budget is in use. */
  readonly smallLane: MemoryBudget
  /** Bodies up to this size are converted on the event loop. */
  readonly inlineMaxBytes: number
  /** Ends the wait for memory. */
  readonly signal: AbortSignal
  /** Longest wait for memory. */
  readonly timeoutMs: number
}

/** The memory set aside for one request. After `release()` nothing is held, and nothing is waited for. */
export class BodyMemory implements BodyRoom, Disposable {
  /** Of the bodies that will ever fit. */
  readonly largestBytes: number
  readonly #options: BodyMemoryOptions
  readonly #reservations: Reservation[] = []
  #bytes = 0
  #isReleased = false
  /** Ends a wait for memory; most requests need not wait, and joining two signals costs them more than all else here. */
  #wait: AbortController | null = null

  constructor(options: BodyMemoryOptions) {
    const { budget, inlineMaxBytes } = options
    this.#options = options
    this.largestBytes = largestThatFits(budget.totalBytes, inlineMaxBytes)
  }

  async reserve(bodyBytes: number): Promise<void> {
    const bytes = this.#bytesFor(bodyBytes)
    this.#refuseReleased()
    const { budget, smallLane, signal, timeoutMs } = this.#options
    const isBudgetFree = budget.isFree(bytes)
    const isSmall = bodyBytes <= SMALL_BODY_BYTES
    if (!isBudgetFree && isSmall && smallLane.isFree(bytes)) return this.#add(smallLane.grow(bytes))
    const wait = { signal: isBudgetFree ? signal : this.#waitSignal(), timeoutMs }
    this.#keep(await budget.reserve(bytes, wait))
  }

  async extend(bodyBytes: number): Promise<void> {
    this.#refuseReleased()
    const bytes = this.#bytesFor(bodyBytes) - this.#bytes
    if (bytes <= 0) return
    const { budget, smallLane, timeoutMs } = this.#options
    const isInLane = bodyBytes <= SMALL_BODY_BYTES && smallLane.isFree(bytes)
    if (isInLane && !budget.isFree(bytes)) return this.#keep(smallLane.grow(bytes))
    const wait = { signal: this.#waitSignal(), timeoutMs }
    this.#keep(await budget.extend(bytes, this.#bytes, wait))
  }

  loosenTo(bodyBytes: number): void {
    this.#bytes = this.#shrink(this.#bytesFor(bodyBytes), 'loosenTo')
  }

  grow(bodyBytes: number): void {
    this.#refuseReleased()
    const more = this.#bytesFor(bodyBytes) - this.#bytes
    if (more > 0) this.#add(this.#options.budget.grow(more))
  }

  /** The body is gone, its payload is left. */
  shrinkTo(payloadBytes: number): void {
    this.#shrink(payloadBytes * FACTOR_WHILE_HELD, 'shrinkTo')
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
    if (more > 0) this.#add(this.#options.budget.grow(more))
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
    const { signal } = this.#options
    if (signal.aborted || this.#isReleased) throw abortErrorOf(signal)
  }

  #waitSignal(): AbortSignal {
    this.#wait ??= new AbortController()
    return AbortSignal.any([this.#options.signal, this.#wait.signal])
  }

  /** Gives how much is held then. */
  #shrink(bytes: number, how: 'shrinkTo' | 'loosenTo'): number {
    let left = bytes
    for (const reservation of this.#reservations) {
      reservation[how](left)
      left -= reservation.bytes
    }
    return bytes - left
  }

  #bytesFor(bodyBytes: number): number {
    return bytesFor(bodyBytes, this.#options.inlineMaxBytes)
  }

  #keep(reservation: Reservation): void {
    if (this.#isReleased) reservation.release()
    else this.#add(reservation)
  }

  #add(reservation: Reservation): void {
    this.#reservations.push(reservation)
    this.#bytes += reservation.bytes
  }
}

/** For one request to this worker. */
export function bodyMemoryOf(
  { memory: budget, smallLane, transforms, config }: BodyMemoryPlane,
  signal: AbortSignal
): BodyMemory {
  const timeoutMs = config().server.bodyTimeoutMs
  const { inlineMaxBytes } = transforms
  return new BodyMemory({ budget, smallLane, inlineMaxBytes, signal, timeoutMs })
}

type BodyMemoryPlane = Pick<DataPlane, 'memory' | 'smallLane' | 'transforms' | 'config'>

/** Grows with the body: one byte more never needs less. */
function bytesFor(bodyBytes: number, inlineMaxBytes: number): number {
  return Math.max(bodyBytes * FACTOR_IN_THREAD, Math.min(bodyBytes, inlineMaxBytes) * FACTOR_INLINE)
}

/** The other way round: the largest body for which so many bytes are enough. */
function largestThatFits(totalBytes: number, inlineMaxBytes: number): number {
  const factor = totalBytes < inlineMaxBytes * FACTOR_INLINE ? FACTOR_INLINE : FACTOR_IN_THREAD
  return Math.floor(totalBytes / factor)
}

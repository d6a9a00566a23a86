import type { MemoryBudget, Reservation } from '../admission/memory-budget.ts'
import type { BodyRoom } from './request-body.ts'

/**
 * Bytes of memory that a body of one byte takes at most: itself, the payload made of it, and what stands in
 * between while it is converted here. Threads have limits of their own.
 */
const FACTOR_WHILE_CONVERTED = 4
/** The payload, and once more with the profile ARN in front, until the answer begins. */
const FACTOR_WHILE_HELD = 2

/** The memory set aside for one request. */
export class BodyMemory implements BodyRoom, Disposable {
  readonly #budget: MemoryBudget
  readonly #signal: AbortSignal
  readonly #reservations: Reservation[] = []

  constructor(budget: MemoryBudget, signal: AbortSignal) {
    this.#budget = budget
    this.#signal = signal
  }

  async reserve(bodyBytes: number): Promise<void> {
    const bytes = bodyBytes * FACTOR_WHILE_CONVERTED
    this.#reservations.push(await this.#budget.reserve(bytes, this.#signal))
  }

  /** The body is gone, its payload is left. */
  shrinkTo(payloadBytes: number): void {
    const [first, ...others] = this.#reservations
    for (const other of others) other.release()
    first?.shrinkTo(payloadBytes * FACTOR_WHILE_HELD)
  }

  release(): void {
    for (const reservation of this.#reservations) reservation.release()
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

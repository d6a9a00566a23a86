import { abortErrorOf } from '../shared/abort-error.ts'
import { GatewayError } from '../shared/errors.ts'
import { SYSTEM_CLOCK, type Clock } from './clock.ts'
import { DrainRate } from './drain-rate.ts'
import { OrderedList, type Place } from './ordered-list.ts'

/** What was being waited for, for the log. */
const WAIT = 'while waiting for memory'

/** A part of the memory budget. Released once, by whoever holds it. */
export class Reservation implements Disposable {
  #bytes: number
  readonly #onFreed: (bytes: number) => void

  constructor(bytes: number, onFreed: (bytes: number) => void) {
    this.#bytes = bytes
    this.#onFreed = onFreed
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Gives back what is above `bytes`; a reservation never grows. */
  shrinkTo(bytes: number): void {
    const freed = this.#bytes - Math.max(0, bytes)
    if (freed <= 0) return
    this.#bytes -= freed
    this.#onFreed(freed)
  }

  /** Gives everything back. Later calls do nothing. */
  release(): void {
    this.shrinkTo(0)
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

interface Waiter {
  readonly bytes: number
  readonly admit: (reservation: Reservation) => void
  readonly refuse: (error: GatewayError) => void
}

/**
 * The memory set aside for request bodies. What does not fit waits, first come first served: a small
 * request never overtakes a large one, which would otherwise wait for ever.
 *
 * Invariant: what is reserved never exceeds the total.
 */
export class MemoryBudget {
  readonly totalBytes: number
  readonly #maxWaiting: number
  readonly #clock: Clock
  readonly #rate = new DrainRate()
  readonly #waiting = new OrderedList<Waiter>()
  readonly #onFreed = (bytes: number): void => this.#free(bytes)
  #reservedBytes = 0
  #nextRank = 0
  #isDraining = false

  constructor(totalBytes: number, maxWaiting: number, clock: Clock = SYSTEM_CLOCK) {
    this.totalBytes = totalBytes
    this.#maxWaiting = maxWaiting
    this.#clock = clock
  }

  get reservedBytes(): number {
    return this.#reservedBytes
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** Whether a reservation of so many bytes need not wait. */
  isFree(bytes: number): boolean {
    return this.#waiting.size === 0 && this.#fits(bytes)
  }

  /**
   * Waits until so many bytes are free. Who gets the reservation has to release it.
   *
   * @throws {GatewayError} GW_BODY_TOO_LARGE for more than the total, GW_MEMORY_FULL when too many wait
   *   already, GW_DRAINING after `drain()`, `signal`'s own error when it aborts first (`abortErrorOf`).
   */
  reserve(bytes: number, signal: AbortSignal): Promise<Reservation> {
    if (signal.aborted) return Promise.reject(abortErrorOf(signal, WAIT))
    if (this.#isDraining) return Promise.reject(new GatewayError('GW_DRAINING'))
    if (bytes > this.totalBytes) return Promise.reject(this.#neverFits(bytes))
    if (this.isFree(bytes)) return Promise.resolve(this.#take(bytes))
    if (this.#waiting.size >= this.#maxWaiting) return Promise.reject(this.#full())
    return this.#wait(bytes, signal)
  }

  /**
   * Takes so many bytes if they are free, even where others wait: it is for those who hold some already, who would
   * otherwise wait for each other, and whose end makes room for everybody.
   *
   * @throws {GatewayError} GW_MEMORY_FULL when they are not.
   */
  grow(bytes: number): Reservation {
    if (!this.#fits(bytes)) throw this.#full()
    return this.#take(bytes)
  }

  /** Refuses who waits and who comes; those who hold some go on. */
  drain(): void {
    this.#isDraining = true
    for (let first = this.#waiting.first; first !== null; first = this.#waiting.first) {
      this.#waiting.remove(first)
      first.item.refuse(new GatewayError('GW_DRAINING'))
    }
  }

  #wait(bytes: number, signal: AbortSignal): Promise<Reservation> {
    return new Promise((resolve, reject) => {
      const admit = (reservation: Reservation): void => {
        signal.removeEventListener('abort', onAbort)
        resolve(reservation)
      }
      const refuse = (error: GatewayError): void => {
        signal.removeEventListener('abort', onAbort)
        reject(error)
      }
      const waiter = { bytes, admit, refuse }
      const place: Place<Waiter> = this.#waiting.insert(waiter, this.#nextRank++)
      const onAbort = (): void => {
        this.#waiting.remove(place)
        reject(abortErrorOf(signal, WAIT))
        this.#admit()
      }
      signal.addEventListener('abort', onAbort, { once: true })
    })
  }

  #free(bytes: number): void {
    this.#reservedBytes -= bytes
    this.#rate.note(this.#clock.now())
    this.#admit()
  }

  #admit(): void {
    for (;;) {
      const first = this.#waiting.first
      if (first === null || !this.#fits(first.item.bytes)) return
      this.#waiting.remove(first)
      first.item.admit(this.#take(first.item.bytes))
    }
  }

  #fits(bytes: number): boolean {
    return this.#reservedBytes + bytes <= this.totalBytes
  }

  #take(bytes: number): Reservation {
    this.#reservedBytes += bytes
    return new Reservation(bytes, this.#onFreed)
  }

  #neverFits(bytes: number): GatewayError {
    return new GatewayError('GW_BODY_TOO_LARGE', `needs ${bytes} of ${this.totalBytes} bytes`, {
      message:
        `The request needs ${mebibytes(bytes)} of memory and the gateway has ` +
        `${mebibytes(this.totalBytes)} for request bodies in all. Give its container more memory.`
    })
  }

  #full(): GatewayError {
    const retryAfterS = this.#rate.retryAfterS(this.#waiting.size, this.#clock.now())
    const detail = `${this.#reservedBytes} of ${this.totalBytes} bytes, ${this.#waiting.size} waiting`
    return new GatewayError('GW_MEMORY_FULL', detail, { retryAfterS })
  }
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

import { abortErrorOf } from '../shared/abort-error.ts'
import { GatewayError } from '../shared/errors.ts'
import { SYSTEM_CLOCK, type Clock } from './clock.ts'
import { DrainRate } from './drain-rate.ts'
import { OrderedList, type Place } from './ordered-list.ts'
import { Reservation, type ReservationOwner } from './reservation.ts'

/** What was being waited for, for the log. */
const WAIT = 'while waiting for memory'

interface Waiter {
  readonly bytes: number
  /** Of the one who waits. */
  readonly heldBytes: number
  readonly admit: (reservation: Reservation) => void
  readonly refuse: (error: GatewayError) => void
}

/** How long somebody waits. */
export interface MemoryWait {
  readonly timeoutMs: number
  readonly signal: AbortSignal
}

/** Who holds something already stands before all who hold nothing. */
const FIRST_RANK = 0
const LATER_RANK = 2 ** 52

/**
 * The memory set aside for request bodies. What does not fit waits, first come first served: a small request does not
 * overtake a large one, which would otherwise wait for ever. Loose reservations are those of bodies that arrive slowly,
 * or whose size is not known: they grow step by step, and nobody knows when they end. One that waits and would not fit
 * beside them, even if all others had ended, is overtaken.
 *
 * Invariant: what is reserved never exceeds the total.
 */
export class MemoryBudget {
  readonly totalBytes: number
  readonly #maxWaiting: number
  readonly #clock: Clock
  readonly #rate = new DrainRate()
  readonly #waiting = new OrderedList<Waiter>()
  readonly #owner: ReservationOwner = {
    free: (bytes, isLoose) => this.#free(bytes, isLoose),
    loosen: (bytes) => {
      this.#looseBytes += bytes
    }
  }
  #reservedBytes = 0
  #looseBytes = 0
  /** Held by those who wait for more. */
  #stuckBytes = 0
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
   *   already and after `timeoutMs`, GW_DRAINING after `drain()`, `signal`'s own error when it aborts first
   *   (`abortErrorOf`).
   */
  reserve(bytes: number, wait: MemoryWait): Promise<Reservation> {
    const { signal } = wait
    if (signal.aborted) return Promise.reject(abortErrorOf(signal, WAIT))
    if (this.#isDraining) return Promise.reject(new GatewayError('GW_DRAINING'))
    if (bytes > this.totalBytes) return Promise.reject(this.#neverFits(bytes))
    if (this.isFree(bytes)) return Promise.resolve(this.#take(bytes))
    if (this.#waiting.size >= this.#maxWaiting) return Promise.reject(this.#full())
    return this.#wait({ bytes, heldBytes: 0 }, wait)
  }

  /**
   * The next step of a loose reservation that has `heldBytes` by now: waits for it before all who hold nothing.
   *
   * @throws {GatewayError} GW_MEMORY_FULL at once where everybody who holds something would wait for the others, and
   *   as `reserve()`
   */
  extend(bytes: number, heldBytes: number, wait: MemoryWait): Promise<Reservation> {
    const { signal } = wait
    if (signal.aborted) return Promise.reject(abortErrorOf(signal, WAIT))
    if (this.#fits(bytes)) return Promise.resolve(this.#take(bytes, true))
    if (this.#stuckBytes + heldBytes >= this.#reservedBytes) return Promise.reject(this.#full())
    return this.#wait({ bytes, heldBytes }, wait)
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
    let next: Place<Waiter> | null = null
    for (let place = this.#waiting.first; place !== null; place = next) {
      next = place.next
      if (place.item.heldBytes > 0) continue
      this.#remove(place)
      place.item.refuse(new GatewayError('GW_DRAINING'))
    }
  }

  #wait(
    { bytes, heldBytes }: Pick<Waiter, 'bytes' | 'heldBytes'>,
    { signal, timeoutMs }: MemoryWait
  ): Promise<Reservation> {
    return new Promise((resolve, reject) => {
      const rank = this.#nextRank++ + (heldBytes > 0 ? FIRST_RANK : LATER_RANK)
      const leave = (error: GatewayError): void => {
        this.#remove(place)
        place.item.refuse(error)
        this.#admit()
      }
      const onAbort = (): void => leave(abortErrorOf(signal, WAIT))
      const cancelTimer = this.#clock.setTimeout(() => leave(this.#full()), timeoutMs)
      const end = (): void => {
        cancelTimer()
        signal.removeEventListener('abort', onAbort)
      }
      const admit = (reservation: Reservation): void => {
        end()
        resolve(reservation)
      }
      const refuse = (error: GatewayError): void => {
        end()
        reject(error)
      }
      const place: Place<Waiter> = this.#waiting.insert({ bytes, heldBytes, admit, refuse }, rank)
      this.#stuckBytes += heldBytes
      signal.addEventListener('abort', onAbort, { once: true })
      this.#admit() // it may be one that overtakes
    })
  }

  #remove(place: Place<Waiter>): void {
    this.#waiting.remove(place)
    this.#stuckBytes -= place.item.heldBytes
  }

  #free(bytes: number, isLoose: boolean): void {
    this.#reservedBytes -= bytes
    if (isLoose) this.#looseBytes -= bytes
    this.#rate.note(this.#clock.now())
    this.#admit()
  }

  #admit(): void {
    let next: Place<Waiter> | null = null
    for (let place = this.#waiting.first; place !== null; place = next) {
      next = place.next
      const { bytes, heldBytes, admit } = place.item
      if (this.#fits(bytes)) {
        this.#remove(place)
        admit(this.#take(bytes, heldBytes > 0))
      } else if (bytes <= this.totalBytes - this.#looseBytes) {
        return
      }
    }
  }

  #fits(bytes: number): boolean {
    return this.#reservedBytes + bytes <= this.totalBytes
  }

  #take(bytes: number, isLoose = false): Reservation {
    this.#reservedBytes += bytes
    if (isLoose) this.#looseBytes += bytes
    return new Reservation(bytes, isLoose, this.#owner)
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

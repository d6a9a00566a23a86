import { abortErrorOf, GatewayError } from '../shared/errors.ts'
import { type Clock, SYSTEM_CLOCK } from './clock.ts'
import { FairQueue, OrderedList, type Place } from './fair-queue.ts'
import { DrainRate } from './lease-errors.ts'

/** What was being waited for, for the log. */
const WAIT = 'while waiting for memory'

interface Waiter {
  readonly id: number
  readonly key: string
  readonly bytes: number
  /** Of the one who waits. */
  readonly heldBytes: number
  readonly admit: (reservation: Reservation) => void
  readonly refuse: (error: GatewayError) => void
}

/** How long somebody waits, and who. */
export interface MemoryWait {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Name of the client's key: keys take turns. */
  readonly key?: string
}

/** What a body that waits keeps at most in the stream that nobody reads yet. */
const UNREAD_BYTES = 64 * 1024
/** A body takes at least so much of the budget for each of its bytes. */
const LEAST_FACTOR = 2

/** How many may wait. */
export interface LineLimits {
  readonly maxWaiting: number
  /** Beside the budget, for what the streams of those who wait have taken in already. */
  readonly maxUnreadBytes: number
}

/** Answers, and whoever has no name. */
const NO_KEY = ''

/**
 * The memory set aside for request bodies. What does not fit waits: keys take turns, and within a key it is first come
 * first served. A small request does not overtake a large one whose turn it is, which would otherwise wait for ever,
 * unless the large one's key has more than its share by now: what it holds must not keep others waiting.
 *
 * Loose reservations are those of bodies that arrive slowly, or whose size is not known: they grow step by step, and
 * nobody knows when they end. One that waits and would not fit beside them, even if all others had ended, is overtaken.
 *
 * Invariant: what is reserved never exceeds the total.
 */
export class MemoryBudget {
  readonly totalBytes: number
  readonly #limits: LineLimits
  readonly #clock: Clock
  readonly #rate = new DrainRate()
  /** Who holds nothing yet. Bounded by `maxWaiting`. */
  readonly #newcomers = new FairQueue()
  /** Who holds something already: they stand before all who hold nothing. Bounded by the bodies that do. */
  readonly #growing = new OrderedList<Waiter>()
  /** Bounded by both lines. */
  readonly #waiters = new Map<number, Waiter>()
  /** Bounded by `#growing`. */
  readonly #places = new Map<number, Place<Waiter>>()
  /** What each key holds, of those that hold something. Bounded by the number of keys. */
  readonly #held = new Map<string, number>()
  readonly #owner: ReservationOwner = {
    free: (freed) => this.#free(freed),
    loosen: (bytes) => {
      this.#looseBytes += bytes
    }
  }
  #reservedBytes = 0
  #looseBytes = 0
  /** Held by those who wait for more. */
  #stuckBytes = 0
  /** In the streams of newcomers. */
  #unreadBytes = 0
  #turns = 0
  #isDraining = false

  constructor(totalBytes: number, limits: number | LineLimits, clock: Clock = SYSTEM_CLOCK) {
    this.totalBytes = totalBytes
    this.#limits =
      typeof limits === 'number' ? { maxWaiting: limits, maxUnreadBytes: Infinity } : limits
    this.#clock = clock
  }

  get reservedBytes(): number {
    return this.#reservedBytes
  }

  get waiting(): number {
    return this.#waiters.size
  }

  /** Whether a reservation of so many bytes need not wait. */
  isFree(bytes: number): boolean {
    return this.#waiters.size === 0 && this.#fits(bytes)
  }

  /** The same for a key that is to leave as much to the next one as it takes. */
  isFreeFor(bytes: number, key: string): boolean {
    const held = this.#held.get(key) ?? 0
    const leftByOthers = this.totalBytes - (this.#reservedBytes - held)
    return this.isFree(bytes) && held + bytes <= leftByOthers / 2
  }

  /** Whether a key holds more than its share while others wait. */
  isContested(key: string): boolean {
    return this.#isWaitedForBeside(key) && (this.#held.get(key) ?? 0) > this.#share()
  }

  /** Whether somebody waits for so much that it does not fit beside the loose reservations. */
  get isBlocked(): boolean {
    for (const { bytes, heldBytes } of this.#waiters.values())
      if (heldBytes === 0 && !this.#isDue(bytes)) return true
    return false
  }

  /**
   * Waits until so many bytes are free. Who gets the reservation has to release it.
   *
   * @throws {GatewayError} GW_BODY_TOO_LARGE for more than the total, GW_MEMORY_FULL when too many wait
   *   already, at once or for one of a key with fewer of them, and after `timeoutMs`, GW_DRAINING after `drain()`,
   *   `signal`'s own error when it aborts first (`abortErrorOf`).
   */
  reserve(bytes: number, wait: MemoryWait): Promise<Reservation> {
    const { signal, key = NO_KEY } = wait
    if (signal.aborted) return Promise.reject(abortErrorOf(signal, WAIT))
    if (this.#isDraining) return Promise.reject(new GatewayError('GW_DRAINING'))
    if (bytes > this.totalBytes) return Promise.reject(this.#neverFits(bytes))
    if (this.isFree(bytes)) return Promise.resolve(this.#take(bytes, key))
    if (this.#isLineFull(bytes) && !this.#refuseOneFor(key)) return Promise.reject(this.#full())
    return this.#wait({ bytes, heldBytes: 0 }, wait)
  }

  /**
   * The next step of a loose reservation that has `heldBytes` by now: waits for it before all who hold nothing.
   *
   * @throws {GatewayError} GW_MEMORY_FULL at once where everybody who holds something would wait for the others, and
   *   as `reserve()`
   */
  extend(bytes: number, heldBytes: number, wait: MemoryWait): Promise<Reservation> {
    const { signal, key = NO_KEY } = wait
    if (signal.aborted) return Promise.reject(abortErrorOf(signal, WAIT))
    if (this.#fits(bytes) && !this.isContested(key)) {
      return Promise.resolve(this.#take(bytes, key, true))
    }
    if (this.#stuckBytes + heldBytes >= this.#reservedBytes) return Promise.reject(this.#full())
    return this.#wait({ bytes, heldBytes }, wait)
  }

  /**
   * Takes so many bytes if they are free, even where others wait: it is for those who hold some already, who would
   * otherwise wait for each other, and whose end makes room for everybody.
   *
   * @throws {GatewayError} GW_MEMORY_FULL when they are not.
   */
  grow(bytes: number, key = NO_KEY): Reservation {
    if (!this.#fits(bytes)) throw this.#full()
    return this.#take(bytes, key)
  }

  /** Refuses who waits and who comes; those who hold some go on. */
  drain(): void {
    this.#isDraining = true
    for (const waiter of this.#waiters.values()) {
      if (waiter.heldBytes > 0) continue
      this.#remove(waiter)
      waiter.refuse(new GatewayError('GW_DRAINING'))
    }
  }

  #wait(
    { bytes, heldBytes }: Pick<Waiter, 'bytes' | 'heldBytes'>,
    { signal, timeoutMs, key = NO_KEY }: MemoryWait
  ): Promise<Reservation> {
    return new Promise((resolve, reject) => {
      const leave = (error: GatewayError): void => {
        this.#remove(waiter)
        waiter.refuse(error)
        this.#admit()
      }
      const onAbort = (): void => leave(abortErrorOf(signal, WAIT))
      const cancelTimer = this.#clock.setTimeout(() => leave(this.#full()), timeoutMs)
      const end = (): void => {
        cancelTimer()
        signal.removeEventListener('abort', onAbort)
      }
      const waiter: Waiter = {
        id: this.#turns++,
        key,
        bytes,
        heldBytes,
        admit: (reservation) => {
          end()
          resolve(reservation)
        },
        refuse: (error) => {
          end()
          reject(error)
        }
      }
      this.#add(waiter)
      signal.addEventListener('abort', onAbort, { once: true })
      this.#admit() // it may be one that overtakes
    })
  }

  #add(waiter: Waiter): void {
    const { id, key, heldBytes } = waiter
    this.#waiters.set(id, waiter)
    this.#stuckBytes += heldBytes
    if (heldBytes > 0) {
      this.#places.set(id, this.#growing.insert(waiter, id))
    } else {
      this.#newcomers.push(id, key, id)
      this.#unreadBytes += unreadBytesOf(waiter)
    }
  }

  #remove(waiter: Waiter): void {
    const { id, heldBytes } = waiter
    this.#waiters.delete(id)
    this.#stuckBytes -= heldBytes
    if (this.#newcomers.remove(id)) this.#unreadBytes -= unreadBytesOf(waiter)
    const place = this.#places.get(id)
    if (place !== undefined) this.#growing.remove(place)
    this.#places.delete(id)
  }

  #isLineFull(bytes: number): boolean {
    const { maxWaiting, maxUnreadBytes } = this.#limits
    const unreadBytes = this.#unreadBytes + unreadBytesOf({ bytes })
    return this.#waiters.size >= maxWaiting || unreadBytes > maxUnreadBytes
  }

  /** Refuses the youngest of the key with most that wait, if that is fairer. */
  #refuseOneFor(key: string): boolean {
    const id = this.#newcomers.evictionFor(key)
    const waiter = id === null ? undefined : this.#waiters.get(id)
    if (waiter === undefined) return false
    const error = this.#full()
    this.#remove(waiter)
    waiter.refuse(error)
    return true
  }

  #free({ bytes, isLoose, key }: Held): void {
    this.#reservedBytes -= bytes
    if (isLoose) this.#looseBytes -= bytes
    const left = (this.#held.get(key) ?? 0) - bytes
    if (left > 0) this.#held.set(key, left)
    else this.#held.delete(key)
    this.#rate.note(this.#clock.now())
    this.#admit()
  }

  #admit(): void {
    let next: Place<Waiter> | null = null
    for (let place = this.#growing.first; place !== null; place = next) {
      next = place.next
      const { bytes, key } = place.item
      if (this.isContested(key)) continue
      if (this.#fits(bytes)) this.#letIn(place.item)
      else if (this.#isDue(bytes)) return
    }
    while (this.#admitNewcomer());
  }

  /** The first in the order of turns who fits; false if there is none, or none before one whose turn it is. */
  #admitNewcomer(): boolean {
    for (const id of this.#newcomers.ids()) {
      const waiter = this.#waiters.get(id)
      if (waiter === undefined) continue
      const { key, bytes } = waiter
      if (this.#fits(bytes)) {
        this.#letIn(waiter)
        this.#newcomers.noteServed(key, this.#turns++)
        return true
      }
      if (this.#isDue(bytes) && !this.#hasEnough(key, bytes)) return false
    }
    return false
  }

  #letIn(waiter: Waiter): void {
    const { key, bytes, heldBytes } = waiter
    this.#remove(waiter)
    waiter.admit(this.#take(bytes, key, heldBytes > 0))
  }

  /** Whether it fits as soon as those have ended of whom that can be said. */
  #isDue(bytes: number): boolean {
    return bytes <= this.totalBytes - this.#looseBytes
  }

  /** Whether a key holds something, and with so much more would have more than its share while others wait. */
  #hasEnough(key: string, bytes: number): boolean {
    const held = this.#held.get(key) ?? 0
    return held > 0 && held + bytes > this.#share() && this.#isWaitedForBeside(key)
  }

  #isWaitedForBeside(key: string): boolean {
    return this.#newcomers.keys > (this.#newcomers.has(key) ? 1 : 0)
  }

  /** Of each key that holds something or waits. */
  #share(): number {
    return this.totalBytes / Math.max(1, this.#held.size + this.#newcomers.keysBeside(this.#held))
  }

  #fits(bytes: number): boolean {
    return this.#reservedBytes + bytes <= this.totalBytes
  }

  #take(bytes: number, key: string, isLoose = false): Reservation {
    this.#reservedBytes += bytes
    if (isLoose) this.#looseBytes += bytes
    if (bytes > 0) this.#held.set(key, (this.#held.get(key) ?? 0) + bytes)
    return new Reservation({ bytes, isLoose, key }, this.#owner)
  }

  #neverFits(bytes: number): GatewayError {
    return new GatewayError('GW_BODY_TOO_LARGE', `needs ${bytes} of ${this.totalBytes} bytes`, {
      message:
        `The request needs ${mebibytes(bytes)} of memory and the gateway has ` +
        `${mebibytes(this.totalBytes)} for request bodies in all. Give its container more memory.`
    })
  }

  #full(): GatewayError {
    const retryAfterS = this.#rate.retryAfterS(this.#waiters.size, this.#clock.now())
    const detail = `${this.#reservedBytes} of ${this.totalBytes} bytes, ${this.#waiters.size} waiting`
    return new GatewayError('GW_MEMORY_FULL', detail, { retryAfterS })
  }
}

function unreadBytesOf({ bytes }: Pick<Waiter, 'bytes'>): number {
  return Math.min(bytes / LEAST_FACTOR, UNREAD_BYTES)
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

/** A part of the memory budget. Released once, by whoever holds it. */
export class Reservation implements Disposable {
  /** Name of the client's key for which it is held. */
  readonly key: string
  #bytes: number
  #isLoose: boolean
  readonly #owner: ReservationOwner

  constructor({ bytes, isLoose, key }: Held, owner: ReservationOwner) {
    this.#bytes = bytes
    this.#isLoose = isLoose
    this.key = key
    this.#owner = owner
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Gives back what is above `bytes`; a reservation never grows. */
  shrinkTo(bytes: number): void {
    const freed = this.#bytes - Math.max(0, bytes)
    if (freed <= 0) return
    this.#bytes -= freed
    this.#owner.free({ bytes: freed, isLoose: this.#isLoose, key: this.key })
  }

  /** The same, for one that nobody knows the end of: see `MemoryBudget`. */
  loosenTo(bytes: number): void {
    if (!this.#isLoose) this.#owner.loosen(this.#bytes)
    this.#isLoose = true
    this.shrinkTo(bytes)
  }

  /** Gives everything back. Later calls do nothing. */
  release(): void {
    this.shrinkTo(0)
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

/** What is held, or given back. */
export interface Held {
  readonly bytes: number
  readonly isLoose: boolean
  readonly key: string
}

/** What a reservation tells its budget. */
export interface ReservationOwner {
  free(freed: Held): void
  loosen(bytes: number): void
}

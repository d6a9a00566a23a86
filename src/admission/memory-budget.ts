import { abortErrorOf, GatewayError } from '../shared/errors.ts'
import { type Clock, DrainRate, SYSTEM_CLOCK } from './clock.ts'
import { FairQueue } from './fair-queue.ts'

export interface MemoryWait {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly key?: string
}

interface Held {
  readonly bytes: number
  readonly isLoose: boolean
  readonly key: string
}

interface ReservationOwner {
  free(freed: Held): void
  loosen(bytes: number): void
}

/** Part of the memory budget, released once by its holder. */
export class Reservation implements Disposable {
  #bytes: number
  #isLoose: boolean
  readonly #key: string
  readonly #owner: ReservationOwner

  constructor({ bytes, isLoose, key }: Held, owner: ReservationOwner) {
    this.#bytes = bytes
    this.#isLoose = isLoose
    this.#key = key
    this.#owner = owner
  }

  get bytes(): number {
    return this.#bytes
  }

  shrinkTo(bytes: number): void {
    const freed = this.#bytes - Math.max(0, bytes)
    if (freed <= 0) return
    this.#bytes -= freed
    this.#owner.free({ bytes: freed, isLoose: this.#isLoose, key: this.#key })
  }

  /** Shrinks, and marks the end as unknown: see `MemoryBudget`. */
  loosenTo(bytes: number): void {
    if (!this.#isLoose) this.#owner.loosen(this.#bytes)
    this.#isLoose = true
    this.shrinkTo(bytes)
  }

  release(): void {
    this.shrinkTo(0)
  }

  [Symbol.dispose](): void {
    this.release()
  }
}

const WAIT = 'while waiting for memory'

interface Waiter {
  readonly id: number
  readonly key: string
  readonly bytes: number
  readonly heldBytes: number
  readonly resolve: (reservation: Reservation) => void
  readonly reject: (error: GatewayError) => void
  readonly unwatch: () => void
}

const UNREAD_BYTES = 64 * 1024
const LEAST_FACTOR = 2

interface LineLimits {
  readonly maxWaiting: number
  /** For the streams of waiting bodies; not part of the budget. */
  readonly maxUnreadBytes: number
}

const NO_KEY = ''

/** Unreserved memory, in which something lives that makes room at once. */
export interface SpareMemory {
  /** Bytes in use, kept up to date by the user. */
  bytes: number
}

/**
 * Memory for request bodies, never exceeded. Keys take turns. A small request overtakes a large one whose turn it is
 * only if the large one's key has more than its share, or it would not fit beside loose reservations: those of slow or
 * unsized bodies, which grow and have no known end.
 */
export class MemoryBudget {
  readonly totalBytes: number
  readonly #limits: LineLimits
  readonly #clock: Clock
  readonly #rate = new DrainRate()
  /** Requests that hold nothing. Bounded by `maxWaiting`. */
  readonly #newcomers = new Map<number, Waiter>()
  /** Bounded by the same. */
  readonly #turns = new FairQueue()
  /** Requests that hold something; they precede newcomers. Bounded by the bodies that do. */
  readonly #growing = new Set<Waiter>()
  /** Bytes by key. Bounded by the number of keys. */
  readonly #held = new Map<string, number>()
  readonly #owner: ReservationOwner = {
    free: (freed) => this.#free(freed),
    loosen: (bytes) => {
      this.#looseBytes += bytes
    }
  }
  #reservedBytes = 0
  #looseBytes = 0
  #stuckBytes = 0
  #unreadBytes = 0
  #count = 0
  #isDraining = false
  readonly #spare: SpareMemory = { bytes: 0 }
  #giveBack: ((bytes: number) => void) | null = null

  constructor(totalBytes: number, limits: number | LineLimits, clock: Clock = SYSTEM_CLOCK) {
    this.totalBytes = totalBytes
    this.#limits =
      typeof limits === 'number' ? { maxWaiting: limits, maxUnreadBytes: Infinity } : limits
    this.#clock = clock
  }

  get reservedBytes(): number {
    return this.#reservedBytes
  }

  /** Unreserved bytes, beside those that live there. */
  get spareBytes(): number {
    return this.totalBytes - this.#reservedBytes - this.#spare.bytes
  }

  /** Lets something live in what is not reserved. `giveBack` frees at least so many bytes, or all. */
  lend(giveBack: (bytes: number) => void): SpareMemory {
    this.#giveBack = giveBack
    return this.#spare
  }

  get waiting(): number {
    return this.#newcomers.size + this.#growing.size
  }

  isFree(bytes: number): boolean {
    return this.waiting === 0 && this.#fits(bytes)
  }

  /** True if the key may take this much and leave as much to the next key. */
  isFreeFor(bytes: number, key: string): boolean {
    const held = this.#held.get(key) ?? 0
    const leftByOthers = this.totalBytes - (this.#reservedBytes - held)
    return this.isFree(bytes) && held + bytes <= leftByOthers / 2
  }

  /** True if the key would exceed its share with this much more while others wait. */
  isContested(key: string, moreBytes = 0): boolean {
    const held = this.#held.get(key) ?? 0
    const areOthersWaiting = this.#turns.keys > (this.#turns.has(key) ? 1 : 0)
    return areOthersWaiting && held > 0 && held + moreBytes > this.#share()
  }

  get isBlocked(): boolean {
    for (const { bytes } of this.#newcomers.values()) if (!this.#isDue(bytes)) return true
    return false
  }

  /**
   * Waits for memory, which the caller must release.
   * @throws {GatewayError} GW_BODY_TOO_LARGE; GW_MEMORY_FULL when too many wait, and after `timeoutMs`; GW_DRAINING;
   *   `signal`'s own error
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

  /** Grows a loose reservation, before newcomers. @throws {GatewayError} GW_MEMORY_FULL if holders would deadlock */
  extend(bytes: number, heldBytes: number, wait: MemoryWait): Promise<Reservation> {
    const { signal, key = NO_KEY } = wait
    if (signal.aborted) return Promise.reject(abortErrorOf(signal, WAIT))
    if (this.#fits(bytes) && !this.isContested(key)) {
      return Promise.resolve(this.#take(bytes, key, true))
    }
    if (this.#stuckBytes + heldBytes >= this.#reservedBytes) return Promise.reject(this.#full())
    return this.#wait({ bytes, heldBytes }, wait)
  }

  /** Takes free memory before waiters: holders must not wait for each other. @throws {GatewayError} GW_MEMORY_FULL */
  grow(bytes: number, key = NO_KEY): Reservation {
    if (!this.#fits(bytes)) throw this.#full()
    return this.#take(bytes, key)
  }

  drain(): void {
    this.#isDraining = true
    for (const waiter of this.#newcomers.values()) {
      this.#refuse(waiter, new GatewayError('GW_DRAINING'))
    }
  }

  #wait(
    { bytes, heldBytes }: Pick<Waiter, 'bytes' | 'heldBytes'>,
    { signal, timeoutMs, key = NO_KEY }: MemoryWait
  ): Promise<Reservation> {
    const { promise, resolve, reject } = Promise.withResolvers<Reservation>()
    const leave = (error: GatewayError): void => {
      this.#refuse(waiter, error)
      this.#admit()
    }
    const onAbort = (): void => leave(abortErrorOf(signal, WAIT))
    const cancelTimer = this.#clock.setTimeout(() => leave(this.#full()), timeoutMs)
    const unwatch = (): void => {
      cancelTimer()
      signal.removeEventListener('abort', onAbort)
    }
    const id = this.#count++
    const waiter: Waiter = { id, key, bytes, heldBytes, resolve, reject, unwatch }
    if (heldBytes > 0) {
      this.#growing.add(waiter)
      this.#stuckBytes += heldBytes
    } else {
      this.#newcomers.set(id, waiter)
      this.#turns.push(id, key, id)
      this.#unreadBytes += unreadBytesOf(waiter)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    this.#admit() // it may be one that overtakes
    return promise
  }

  #remove(waiter: Waiter): void {
    const { id, heldBytes, unwatch } = waiter
    unwatch()
    if (this.#growing.delete(waiter)) this.#stuckBytes -= heldBytes
    if (!this.#newcomers.delete(id)) return
    this.#turns.remove(id)
    this.#unreadBytes -= unreadBytesOf(waiter)
  }

  #refuse(waiter: Waiter, error: GatewayError): void {
    this.#remove(waiter)
    waiter.reject(error)
  }

  #isLineFull(bytes: number): boolean {
    const { maxWaiting, maxUnreadBytes } = this.#limits
    const unreadBytes = this.#unreadBytes + unreadBytesOf({ bytes })
    return this.waiting >= maxWaiting || unreadBytes > maxUnreadBytes
  }

  #refuseOneFor(key: string): boolean {
    const id = this.#turns.evictionFor(key)
    const waiter = id === null ? undefined : this.#newcomers.get(id)
    if (waiter === undefined) return false
    this.#refuse(waiter, this.#full())
    return true
  }

  #free({ bytes, isLoose, key }: Held): void {
    this.#reservedBytes -= bytes
    if (isLoose) this.#looseBytes -= bytes
    const left = (this.#held.get(key) ?? 0) - bytes
    if (left > 0) this.#held.set(key, left)
    else this.#held.delete(key)
    this.#rate.note(this.#clock.now())
    if (this.waiting > 0) this.#admit()
  }

  #admit(): void {
    for (const waiter of this.#growing) {
      const { bytes, key } = waiter
      if (this.isContested(key)) continue
      if (this.#fits(bytes)) this.#letIn(waiter)
      else if (this.#isDue(bytes)) return
    }
    while (this.#admitNewcomer());
  }

  /** Admits the first fitting newcomer; returns false if none fits, or none before one whose turn it is. */
  #admitNewcomer(): boolean {
    for (const id of this.#turns.ids()) {
      const waiter = this.#newcomers.get(id)
      if (waiter === undefined) continue
      const { key, bytes } = waiter
      if (this.#fits(bytes)) {
        this.#letIn(waiter)
        this.#turns.noteServed(key, this.#count++)
        return true
      }
      if (this.#isDue(bytes) && !this.isContested(key, bytes)) return false
    }
    return false
  }

  #letIn(waiter: Waiter): void {
    const { key, bytes, heldBytes } = waiter
    this.#remove(waiter)
    waiter.resolve(this.#take(bytes, key, heldBytes > 0))
  }

  /** True if it fits once all reservations with a certain end have ended. */
  #isDue(bytes: number): boolean {
    return bytes <= this.totalBytes - this.#looseBytes
  }

  #share(): number {
    return this.totalBytes / Math.max(1, this.#held.size + this.#turns.keysBeside(this.#held))
  }

  #fits(bytes: number): boolean {
    return this.#reservedBytes + bytes <= this.totalBytes
  }

  #take(bytes: number, key: string, isLoose = false): Reservation {
    this.#reservedBytes += bytes
    if (isLoose) this.#looseBytes += bytes
    if (this.spareBytes < 0) this.#giveBack?.(-this.spareBytes)
    if (bytes > 0) this.#held.set(key, (this.#held.get(key) ?? 0) + bytes)
    return new Reservation({ bytes, isLoose, key }, this.#owner)
  }

  #neverFits(bytes: number): GatewayError {
    return new GatewayError('GW_BODY_TOO_LARGE', `needs ${bytes} of ${this.totalBytes} bytes`, {
      message:
        `The request needs ${mebibytes(bytes)} of memory, and the gateway has ` +
        `${mebibytes(this.totalBytes)} in total for request bodies. Give its container more memory.`
    })
  }

  #full(): GatewayError {
    const retryAfterS = this.#rate.retryAfterS(this.waiting, this.#clock.now())
    const detail = `${this.#reservedBytes} of ${this.totalBytes} bytes, ${this.waiting} waiting`
    return new GatewayError('GW_MEMORY_FULL', detail, { retryAfterS })
  }
}

function unreadBytesOf({ bytes }: Pick<Waiter, 'bytes'>): number {
  return Math.min(bytes / LEAST_FACTOR, UNREAD_BYTES)
}

function mebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`
}

/** Wait of a request for memory. */
export interface MemoryWait {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  /** Name of the client's key: keys take turns. */
  readonly key?: string
}

/** Reservation that is held or given back. */
export interface Held {
  readonly bytes: number
  readonly isLoose: boolean
  /** Name of the client's key. */
  readonly key: string
}

/** Budget as seen by a reservation. */
export interface ReservationOwner {
  free(freed: Held): void
  loosen(bytes: number): void
}

/** A part of the memory budget. Released once, by its holder. */
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

  /** Gives back what is above `bytes`; a reservation never grows. */
  shrinkTo(bytes: number): void {
    const freed = this.#bytes - Math.max(0, bytes)
    if (freed <= 0) return
    this.#bytes -= freed
    this.#owner.free({ bytes: freed, isLoose: this.#isLoose, key: this.#key })
  }

  /** The same, for one whose end is unknown: see `MemoryBudget`. */
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

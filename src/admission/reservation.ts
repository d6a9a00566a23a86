export interface MemoryWait {
  readonly timeoutMs: number
  readonly signal: AbortSignal
  readonly key?: string
}

export interface Held {
  readonly bytes: number
  readonly isLoose: boolean
  readonly key: string
}

export interface ReservationOwner {
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

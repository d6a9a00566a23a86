/** A part of the heap that one job may fill. */
export interface HeapClaim {
  /** Claims the heap for one job after the other. */
  readonly lane: object
  readonly heapMb: number
}

/**
 * The heap that is planned for threads, which may not all fill theirs at the same time: a large body has it to
 * itself, and smaller ones run beside a PDF that is being read.
 *
 * A claim that does not fit goes before all later ones of other lanes, so that none waits for ever.
 *
 * Invariant: what is taken never exceeds the total.
 */
export class SharedHeap {
  /** Bounded by the jobs of its lanes. */
  readonly #waiting = new Set<HeapClaim>()
  /** Bounded by the number of lanes. */
  readonly #onFree: (() => void)[] = []
  #freeMb: number

  constructor(totalMb: number) {
    this.#freeMb = totalMb
  }

  /** Is called whenever it may be worth trying again. */
  onFree(listener: () => void): void {
    this.#onFree.push(listener)
  }

  /** Takes what is claimed, or remembers that it is waited for. */
  tryTake(claim: HeapClaim): boolean {
    let left = this.#freeMb
    for (const earlier of this.#waiting) {
      if (earlier === claim) break
      if (earlier.lane !== claim.lane) left -= earlier.heapMb
    }
    if (left < claim.heapMb) {
      this.#waiting.add(claim)
      return false
    }
    this.#waiting.delete(claim)
    this.#freeMb -= claim.heapMb
    return true
  }

  /** Releases a claim. */
  release(claim: HeapClaim): void {
    this.#freeMb += claim.heapMb
    this.#wake()
  }

  /** It is not waited for any more. */
  withdraw(claim: HeapClaim): void {
    if (this.#waiting.delete(claim)) this.#wake()
  }

  #wake(): void {
    for (const listener of this.#onFree) listener()
  }
}

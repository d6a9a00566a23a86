export interface HeapClaim {
  /** Lane that runs the job. */
  readonly lane: object
  readonly heapMb: number
}

/**
 * Heap for threads that may not all fill theirs at once: a large body has it alone, smaller ones share it
 * with a PDF. A claim that does not fit precedes later ones of other lanes, so that none waits for ever.
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

  onFree(listener: () => void): void {
    this.#onFree.push(listener)
  }

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

  release(claim: HeapClaim): void {
    this.#freeMb += claim.heapMb
    this.#wake()
  }

  withdraw(claim: HeapClaim): void {
    if (this.#waiting.delete(claim)) this.#wake()
  }

  #wake(): void {
    for (const listener of this.#onFree) listener()
  }
}

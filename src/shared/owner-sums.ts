/**
 * Shares of a bounded resource by owner, so that no owner can push out what others have: where it is full, the owners with the
 * most make room.
 */
export class OwnerSums {
  /** Sums above 0, by owner. Bounded by what is counted. */
  readonly #sums = new Map<string, number>()
  #total = 0

  get total(): number {
    return this.#total
  }

  of(owner: string): number {
    return this.#sums.get(owner) ?? 0
  }

  /** `amount` may be negative: so much less. */
  add(owner: string, amount: number): void {
    const sum = this.of(owner) + amount
    this.#total += amount
    if (sum === 0) this.#sums.delete(owner)
    else this.#sums.set(owner, sum)
  }

  /**
   * The most that each may have so that all of it fits into `total`: those who have less keep what they have, and what they
   * leave is shared evenly by the others. Infinity where everything fits.
   */
  levelFor(total: number): number {
    let left = total
    let others = this.#sums.size
    for (const sum of [...this.#sums.values()].toSorted((one, other) => one - other)) {
      const level = left / others
      if (sum > level) return level
      left -= sum
      others -= 1
    }
    return Infinity
  }
}

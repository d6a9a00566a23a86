/** Shares of a limited resource by owner: when it is full, the owners with the most make room. */
export class OwnerSums {
  /** Sums above 0. Bounded by what is counted. */
  readonly #sums = new Map<string, number>()
  #total = 0

  get total(): number {
    return this.#total
  }

  of(owner: string): number {
    return this.#sums.get(owner) ?? 0
  }

  add(owner: string, amount: number): void {
    const sum = this.of(owner) + amount
    this.#total += amount
    if (sum === 0) this.#sums.delete(owner)
    else this.#sums.set(owner, sum)
  }

  /** Most that each owner may have for all to fit into `total`: smaller shares stay. Infinity if everything fits. */
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

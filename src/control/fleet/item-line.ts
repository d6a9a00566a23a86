import { ownerPartOf } from '../../shared/item-name.ts'
import { OwnerSums } from '../../shared/owner-sums.ts'

/** Names that wait until the engine has them; while it is away the oldest are given up, of those owners who have the most. */
const MAX_WAITING = 1_024
/** After so many failures in a row the others come first; after as many again it is given up, where one of them was done. */
const TRIES = 5

interface Trouble {
  readonly failures: number
  /** Number of other items done before its first failure. */
  readonly doneBefore: number
}

/**
 * Names of stored answers that wait to be shared, the oldest first. One that fails time and again stands in the way of the
 * others for a moment only: whether it or the engine is at fault shows by them.
 */
export class ItemLine {
  /** Bounded by MAX_WAITING. */
  readonly #waiting = new Map<string, Trouble | null>()
  #done = 0

  get size(): number {
    return this.#waiting.size
  }

  get first(): string | null {
    const [name = null] = this.#waiting.keys()
    return name
  }

  /** The name that is given up for it; `null` for none. */
  add(name: string): string | null {
    if (!this.#waiting.has(name)) this.#waiting.set(name, null)
    if (this.#waiting.size <= MAX_WAITING) return null
    const [, ...names] = this.#waiting.keys() // the first may have been begun
    const sums = new OwnerSums()
    for (const one of names) sums.add(ownerPartOf(one), 1)
    const level = sums.levelFor(MAX_WAITING - 1)
    const surplus = names.find((one) => sums.of(ownerPartOf(one)) > level) ?? null
    if (surplus !== null) this.#waiting.delete(surplus)
    return surplus
  }

  done(name: string): void {
    if (this.#waiting.delete(name)) this.#done += 1
  }

  /** False: it is given up, since others could be done meanwhile. */
  failed(name: string): boolean {
    const { failures, doneBefore } = this.#waiting.get(name) ?? {
      failures: 0,
      doneBefore: this.#done
    }
    const isOften = (failures + 1) % TRIES === 0
    if (isOften) this.#waiting.delete(name)
    if (isOften && this.#done > doneBefore) return false
    this.#waiting.set(name, { failures: failures + 1, doneBefore })
    return true
  }

  clear(): void {
    this.#waiting.clear()
  }
}

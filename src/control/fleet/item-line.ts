import { ownerPartOf } from '../../shared/item-name.ts'
import { OwnerSums } from '../../shared/owner-sums.ts'

/** Beyond this, the oldest names of the owners with the most are dropped. */
const MAX_WAITING = 1_024
/** Failures in a row after which others go first; after as many again it is dropped if another succeeded meanwhile. */
const TRIES = 5

interface Trouble {
  readonly failures: number
  readonly doneBefore: number
}

/** Stored answers to be shared, oldest first. A failing one holds up others only briefly. */
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

  /** Returns the name dropped in return, or `null`. */
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

  /** Returns false if the name is dropped, since others succeeded meanwhile. */
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

/** Names that wait until the engine has them; while it is away the oldest are given up. */
const MAX_WAITING = 1_024
/** After so many failures in a row the others come first; after as many again it is given up, where one of them was done. */
const TRIES = 5

interface Trouble {
  readonly failures: number
  /** So many others had been done when it failed first. */
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
    const [first, second = first] = this.#waiting.keys() // the first may have been begun
    if (this.#waiting.size <= MAX_WAITING || second === undefined) return null
    this.#waiting.delete(second)
    return second
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

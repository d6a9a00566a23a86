import { FairQueue } from './fair-queue.ts'

/**
 * Who waits for something that takes others' time: keys have their turns by what they have cost so far, so that a key
 * with one expensive job after the other delays another key by the one that runs, and then waits while that key has
 * its own for as long. Where nobody waits, everything is forgiven.
 *
 * Time is virtual: it is that of the job that began last, and a key's next turn comes after all that its jobs have
 * cost beyond it (start-time fair queueing, Goyal et al. 1996).
 * ```
 *   key a  ├────── 3000 ──────┤next
 *   key b  ├10┤next ├10┤next           b has some 300 turns before a has its second
 * ```
 * State is kept for keys that wait or have cost something since last nobody waited.
 */
export class CostQueue {
  /** Bounded by what its owner lets wait. */
  readonly #queue = new FairQueue()
  /** The virtual time up to which a key has had its share. Bounded by the number of keys. */
  readonly #charged = new Map<string, number>()
  #now = 0

  get size(): number {
    return this.#queue.size
  }

  push(id: number, key: string): void {
    this.#queue.push(id, key, this.#now)
    this.#queue.noteServed(key, this.#charged.get(key) ?? 0)
  }

  /** False if nobody of this id waits. */
  remove(id: number): boolean {
    return this.#queue.remove(id)
  }

  /** Takes out whose turn it is. */
  shift(): number | null {
    const head = this.#queue.peek()
    if (head === null) return null
    this.#now = Math.max(this.#now, head.at, head.served)
    const id = this.#queue.shift(this.#now)
    return id
  }

  /** A job of this key has taken so much of what is shared, in milliseconds. */
  charge(key: string, costMs: number): void {
    if (this.#queue.size === 0) {
      this.#charged.clear()
      return
    }
    const until = Math.max(this.#charged.get(key) ?? 0, this.#now) + costMs
    this.#charged.set(key, until)
    this.#queue.noteServed(key, until)
  }

  /** Who may be refused in favour of one more of this key; `null` where that would be no fairer. */
  evictionFor(key: string): number | null {
    return this.#queue.evictionFor(key)
  }
}

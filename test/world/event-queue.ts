/** Something that an actor will do at a point of virtual time. */
export interface Due {
  /** Virtual ms. */
  at: number
  readonly act: () => void
  /** Order among events of one time. */
  seq: number
  /** Place in the heap; -1 outside. */
  place: number
  /** False for what keeps no process alive, as an `unref()`ed timer. */
  isHolding: boolean
  /** What it is, for those who look for leaks. */
  readonly kind: 'timer' | 'turn' | 'arrival'
}

/** Events of one actor, earliest first; those of one time in the order in which they came. A heap: O(log n) each. */
export class EventQueue {
  readonly #heap: Due[] = []

  get size(): number {
    return this.#heap.length
  }

  get first(): Due | undefined {
    return this.#heap[0]
  }

  /** All events, in no order. */
  all(): readonly Due[] {
    return this.#heap
  }

  add(due: Due): void {
    due.place = this.#heap.push(due) - 1
    this.#rise(due)
  }

  /** False if it is not there any more. */
  remove(due: Due): boolean {
    const { place } = due
    if (place < 0 || this.#heap[place] !== due) return false
    const last = this.#heap.pop()
    due.place = -1
    if (last === undefined || last === due) return true
    last.place = place
    this.#rise(last)
    this.#sink(last)
    return true
  }

  clear(): void {
    for (const due of this.#heap) due.place = -1
    this.#heap.length = 0
  }

  /** Puts an event into its place or above: those that are later move down by one. */
  #rise(due: Due): void {
    const heap = this.#heap
    let { place } = due
    while (place > 0) {
      const above = heap[(place - 1) >> 1]
      if (above === undefined || !isEarlier(due, above)) break
      heap[place] = above
      above.place = place
      place = (place - 1) >> 1
    }
    heap[place] = due
    due.place = place
  }

  /** Puts an event into its place or below: those that are earlier move up by one. */
  #sink(due: Due): void {
    const heap = this.#heap
    let { place } = due
    for (;;) {
      const left = heap[2 * place + 1]
      const right = heap[2 * place + 2]
      if (left === undefined) break
      const below = right !== undefined && isEarlier(right, left) ? right : left
      if (!isEarlier(below, due)) break
      const next = below.place
      heap[place] = below
      below.place = place
      place = next
    }
    heap[place] = due
    due.place = place
  }
}

function isEarlier(one: Due, other: Due): boolean {
  return one.at < other.at || (one.at === other.at && one.seq < other.seq)
}

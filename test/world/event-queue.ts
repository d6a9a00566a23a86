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
    this.#rise(due.place)
  }

  /** False if it is not there any more. */
  remove(due: Due): boolean {
    const { place } = due
    if (place < 0 || this.#heap[place] !== due) return false
    const last = this.#heap.pop()
    due.place = -1
    if (last === undefined || last === due) return true
    this.#heap[place] = last
    last.place = place
    this.#rise(place)
    this.#sink(last.place)
    return true
  }

  clear(): void {
    for (const due of this.#heap) due.place = -1
    this.#heap.length = 0
  }

  #rise(from: number): void {
    for (let place = from; place > 0; ) {
      const parent = (place - 1) >> 1
      if (!this.#isEarlier(place, parent)) return
      this.#swap(place, parent)
      place = parent
    }
  }

  #sink(from: number): void {
    for (let place = from; ; ) {
      const left = 2 * place + 1
      const right = left + 1
      let least = place
      if (left < this.#heap.length && this.#isEarlier(left, least)) least = left
      if (right < this.#heap.length && this.#isEarlier(right, least)) least = right
      if (least === place) return
      this.#swap(place, least)
      place = least
    }
  }

  #isEarlier(a: number, b: number): boolean {
    const [one, other] = [this.#heap[a], this.#heap[b]]
    if (one === undefined || other === undefined) return false
    return one.at < other.at || (one.at === other.at && one.seq < other.seq)
  }

  #swap(a: number, b: number): void {
    const [one, other] = [this.#heap[a], this.#heap[b]]
    if (one === undefined || other === undefined) return
    this.#heap[a] = other
    this.#heap[b] = one
    other.place = a
    one.place = b
  }
}

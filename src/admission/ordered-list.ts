/** An item's place in an `OrderedList`; what `remove()` takes. */
export interface Place<Item> {
  readonly item: Item
  readonly rank: number
  prev: Place<Item> | null
  next: Place<Item> | null
}

/**
 * Items by ascending rank, equal ranks in order of insertion. Removal is O(1) anywhere; insertion walks
 * from the end, which is O(1) for ranks that mostly grow, like times.
 */
export class OrderedList<Item> {
  #first: Place<Item> | null = null
  #last: Place<Item> | null = null
  #size = 0

  get first(): Place<Item> | null {
    return this.#first
  }

  get last(): Place<Item> | null {
    return this.#last
  }

  get size(): number {
    return this.#size
  }

  insert(item: Item, rank: number): Place<Item> {
    let prev = this.#last
    while (prev !== null && prev.rank > rank) prev = prev.prev
    const next = prev === null ? this.#first : prev.next
    const place: Place<Item> = { item, rank, prev, next }
    if (prev === null) this.#first = place
    else prev.next = place
    if (next === null) this.#last = place
    else next.prev = place
    this.#size += 1
    return place
  }

  /** The place must be in this list; it is not usable afterwards. */
  remove(place: Place<Item>): void {
    if (place.prev === null) this.#first = place.next
    else place.prev.next = place.next
    if (place.next === null) this.#last = place.prev
    else place.next.prev = place.prev
    this.#size -= 1
  }
}

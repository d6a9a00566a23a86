import type { WaiterHead } from '../ipc/service-order.ts'

interface Line {
  readonly key: string
  readonly waiters: OrderedList<Waiter>
  served: number
  place: Place<Line> | null
}

interface Waiter {
  readonly id: number
  readonly at: number
  readonly line: Line
  inLine: Place<Waiter> | null
  inAll: Place<Waiter> | null
}

/**
 * Round robin over client keys, first come first served within a key: a greedy key delays others by one turn.
 *
 * ```
 *   ring, next turn first:   key b ─▶ key a ─▶ key c
 *                            │oldest  │oldest  │oldest
 *                            ▼        ▼        ▼
 * ```
 * Operations are O(1) while arrival times mostly grow. Keys without waiters are forgotten.
 */
export class FairQueue {
  /** Bounded by what its owner lets in. */
  readonly #waiters = new Map<number, Waiter>()
  /** Bounded by the waiters: a key without waiters has none. */
  readonly #lines = new Map<string, Line>()
  /** Bounded by the number of lines. */
  readonly #ring = new OrderedList<Line>()
  /** Bounded by the number of waiters. */
  readonly #byArrival = new OrderedList<Waiter>()

  get size(): number {
    return this.#waiters.size
  }

  get keys(): number {
    return this.#lines.size
  }

  has(key: string): boolean {
    return this.#lines.has(key)
  }

  waitingOf(key: string): number {
    return this.#lines.get(key)?.waiters.size ?? 0
  }

  keysBeside(keys: ReadonlyMap<string, unknown>): number {
    let count = 0
    for (const key of this.#lines.keys()) if (!keys.has(key)) count++
    return count
  }

  get oldest(): { readonly id: number; readonly at: number } | null {
    return this.#byArrival.first?.item ?? null
  }

  push(id: number, key: string, at: number): void {
    const line = this.#lines.get(key) ?? this.#openLine(key)
    const waiter: Waiter = { id, at, line, inLine: null, inAll: null }
    waiter.inLine = line.waiters.insert(waiter, at)
    waiter.inAll = this.#byArrival.insert(waiter, at)
    this.#waiters.set(id, waiter)
    if (line.waiters.first === waiter.inLine) this.#place(line)
  }

  remove(id: number): boolean {
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) return false
    const { line, inLine, inAll } = waiter
    const wasFirst = line.waiters.first === inLine
    if (inLine !== null) line.waiters.remove(inLine)
    if (inAll !== null) this.#byArrival.remove(inAll)
    this.#waiters.delete(id)
    if (wasFirst) this.#place(line)
    return true
  }

  peek(): WaiterHead | null {
    const waiter = this.#ring.first?.item.waiters.first?.item
    return waiter === undefined ? null : toHead(waiter)
  }

  /** Removes the waiter whose turn it is; the first of `key` instead, if it has any. */
  shift(now: number, key: string | null = null): number | null {
    const named = key === null ? undefined : this.#lines.get(key)
    const line = named ?? this.#ring.first?.item
    const waiter = line?.waiters.first?.item
    if (line === undefined || waiter === undefined) return null
    line.served = Math.max(line.served, now)
    this.remove(waiter.id)
    return waiter.id
  }

  /** Another worker gave this key a turn: it joins the back of the ring here too. */
  noteServed(key: string, at: number): void {
    const line = this.#lines.get(key)
    if (line === undefined || at <= line.served) return
    line.served = at
    this.#place(line)
  }

  servedAt(key: string): number {
    return this.#lines.get(key)?.served ?? 0
  }

  popExcess(): number | null {
    const id = this.#longest()?.waiters.last?.item.id ?? null
    if (id !== null) this.remove(id)
    return id
  }

  /** Youngest waiter of the longest line, if that is so much longer than that of `key` that refusing it is fair. */
  evictionFor(key: string): number | null {
    const longest = this.#longest()
    const waiting = this.waitingOf(key)
    if (longest === null || longest.waiters.size <= waiting + 1) return null
    return longest.waiters.last?.item.id ?? null
  }

  heads(limit: number): readonly WaiterHead[] {
    const heads: WaiterHead[] = []
    for (const waiter of this.#inTurn()) {
      if (heads.length >= limit) break
      heads.push(toHead(waiter))
    }
    return heads
  }

  /** By turn; valid while nothing changes. */
  *ids(): Generator<number, void, undefined> {
    for (const { id } of this.#inTurn()) yield id
  }

  *#inTurn(): Generator<Waiter, void, undefined> {
    let round: Place<Waiter>[] = []
    for (let place = this.#ring.first; place !== null; place = place.next) {
      const { first } = place.item.waiters
      if (first === null) continue
      yield first.item
      round.push(first)
    }
    while (round.length > 0) {
      const next: Place<Waiter>[] = []
      for (const { next: place } of round) {
        if (place === null) continue
        yield place.item
        next.push(place)
      }
      round = next
    }
  }

  #longest(): Line | null {
    let longest: Line | null = null
    for (const line of this.#lines.values())
      if (longest === null || line.waiters.size > longest.waiters.size) longest = line
    return longest
  }

  #openLine(key: string): Line {
    const line: Line = { key, waiters: new OrderedList(), served: 0, place: null }
    this.#lines.set(key, line)
    return line
  }

  #place(line: Line): void {
    if (line.place !== null) this.#ring.remove(line.place)
    line.place = null
    const first = line.waiters.first?.item
    if (first === undefined) this.#lines.delete(line.key)
    else line.place = this.#ring.insert(line, Math.max(line.served, first.at))
  }
}

function toHead({ line, at }: Waiter): WaiterHead {
  return { key: line.key, at, served: line.served }
}

interface Place<Item> {
  readonly item: Item
  readonly rank: number
  prev: Place<Item> | null
  next: Place<Item> | null
}

/** Items by ascending rank, then insertion. Removal is O(1), and so is insertion of growing ranks such as times. */
class OrderedList<Item> {
  first: Place<Item> | null = null
  last: Place<Item> | null = null
  size = 0

  insert(item: Item, rank: number): Place<Item> {
    let prev = this.last
    while (prev !== null && prev.rank > rank) prev = prev.prev
    const next = prev === null ? this.first : prev.next
    const place: Place<Item> = { item, rank, prev, next }
    if (prev === null) this.first = place
    else prev.next = place
    if (next === null) this.last = place
    else next.prev = place
    this.size += 1
    return place
  }

  remove(place: Place<Item>): void {
    if (place.prev === null) this.first = place.next
    else place.prev.next = place.next
    if (place.next === null) this.last = place.prev
    else place.next.prev = place.prev
    this.size -= 1
  }
}

/**
 * Start-time fair queueing (Goyal et al. 1996): keys take turns by the time that their jobs have cost. Virtual time is
 * that of the last job begun.
 *
 * ```
 *   key a  ├────── 3000 ──────┤next
 *   key b  ├10┤next ├10┤next           b has some 300 turns before a has its second
 * ```
 * Keeps state for keys that wait, or have cost something since the queue was last empty; then all is forgiven.
 */
export class CostQueue {
  /** Bounded by what its owner lets wait. */
  readonly #queue = new FairQueue()
  /** Virtual time up to which a key has had its share. Bounded by the number of keys. */
  readonly #charged = new Map<string, number>()
  #now = 0

  get size(): number {
    return this.#queue.size
  }

  push(id: number, key: string): void {
    this.#queue.push(id, key, this.#now)
    this.#queue.noteServed(key, this.#charged.get(key) ?? 0)
  }

  remove(id: number): boolean {
    return this.#queue.remove(id)
  }

  shift(): number | null {
    const head = this.#queue.peek()
    if (head === null) return null
    this.#now = Math.max(this.#now, head.at, head.served)
    return this.#queue.shift(this.#now)
  }

  charge(key: string, costMs: number): void {
    if (this.#queue.size === 0) {
      this.#charged.clear()
      return
    }
    const until = Math.max(this.#charged.get(key) ?? 0, this.#now) + costMs
    this.#charged.set(key, until)
    this.#queue.noteServed(key, until)
  }

  /** Waiter to refuse in favour of one more of `key`; `null` if that is not fairer. */
  evictionFor(key: string): number | null {
    return this.#queue.evictionFor(key)
  }
}

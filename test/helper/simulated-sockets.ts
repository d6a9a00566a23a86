/** What the pool of one simulated worker has open, in numbers; sockets close only when the schedule says so. */
export class SimulatedSockets {
  busy = 0
  idle = 0
  /** Requests that hold a permit and wait for a closing socket to make room. */
  pending = 0
  readonly #closing: number[] = []
  #trims: { readonly until: ReadonlySet<number>; readonly permits: number }[] = []
  #nextSocket = 0
  readonly #size: () => number
  readonly #onTrimmed: (permits: number) => void

  constructor(size: () => number, onTrimmed: (permits: number) => void) {
    this.#size = size
    this.#onTrimmed = onTrimmed
  }

  get open(): number {
    return this.busy + this.idle + this.#closing.length
  }

  get closing(): number {
    return this.#closing.length
  }

  /** A permit was issued. `foreignHost`: the idle connections are of no use to it. */
  take(foreignHost: boolean): void {
    if (this.idle > 0 && !foreignHost) {
      this.idle -= 1
      this.busy += 1
      return
    }
    this.pending += 1
    if (this.open >= this.#size() && this.idle > 0) this.#close()
    this.#openPending()
  }

  /** A permit is about to be released: its connection rests, or was never opened. */
  giveBack(keepAlive: number): void {
    if (this.busy === 0) {
      this.pending -= 1
      return
    }
    this.busy -= 1
    this.idle += 1
    this.capIdle(keepAlive)
  }

  capIdle(keepAlive: number): void {
    while (this.idle > keepAlive) this.#close()
  }

  expireOne(): void {
    if (this.idle > 0) this.#close()
  }

  trim(max: number, permits: number): void {
    while (this.busy + this.idle > max && this.idle > 0) this.#close()
    this.#trims.push({ until: new Set(this.#closing), permits })
    this.#finishTrims()
  }

  /** One closing socket is gone, not always the first. */
  closeOne(nth: number): void {
    if (this.#closing.length === 0) return
    this.#closing.splice(nth % this.#closing.length, 1)
    this.#openPending()
    this.#finishTrims()
  }

  /** The process was killed: nothing reports any more, and its sockets linger. */
  kill(): void {
    this.#trims = []
    this.pending = 0
  }

  /** One of those that linger is gone. */
  loseOne(): void {
    if (this.busy > 0) this.busy -= 1
    else if (this.idle > 0) this.idle -= 1
    else this.#closing.pop()
  }

  #close(): void {
    this.idle -= 1
    this.#closing.push(this.#nextSocket++)
  }

  #openPending(): void {
    while (this.pending > 0 && this.open < this.#size()) {
      this.pending -= 1
      this.busy += 1
    }
  }

  #finishTrims(): void {
    const done = this.#trims.filter(({ until }) => this.#closing.every((id) => !until.has(id)))
    if (done.length === 0) return
    this.#trims = this.#trims.filter((trim) => !done.includes(trim))
    for (const { permits } of done) this.#onTrimmed(permits)
  }
}

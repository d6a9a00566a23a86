/**
 * New connections of clients. Node accepts one in each turn of the event loop, so while turns are long others wait in the
 * system: as long as every turn brings one.
 */
export class Arrivals {
  readonly #onAccepted: (waitedMs: number) => void
  /** When the first of those was accepted that have waited together; `null` while none waits. */
  #since: number | null = null
  #together = 0
  #hasCome = false

  /** `onAccepted` is told how long a connection has waited at most since another was accepted. */
  constructor(onAccepted: (waitedMs: number) => void = () => {}) {
    this.#onAccepted = onAccepted
  }

  /** Others may wait: the last turn brought one. */
  get areWaiting(): boolean {
    return this.#since !== null
  }

  /** Counts a connection that was just accepted; gives how many have come without a turn between them. */
  arrived(): number {
    const now = performance.now()
    if (this.#since === null) {
      this.#since = now
      setImmediate(this.#onTurn)
    }
    this.#hasCome = true
    this.#together += 1
    this.#onAccepted(now - this.#since)
    return this.#together
  }

  readonly #onTurn = (): void => {
    if (this.#hasCome) {
      this.#hasCome = false
      setImmediate(this.#onTurn)
      return
    }
    this.#since = null
    this.#together = 0
  }
}

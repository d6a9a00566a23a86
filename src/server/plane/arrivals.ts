/** Node accepts one connection per turn of the event loop: while every turn brings one, others wait in the system. */
export class Arrivals {
  readonly #onAccepted: (waitedMs: number) => void
  /** When the first of the waiting connections was accepted; `null` while none waits. */
  #since: number | null = null
  #together = 0
  #hasCome = false

  /** `onAccepted` hears how long a connection can have waited since another was accepted. */
  constructor(onAccepted: (waitedMs: number) => void = () => {}) {
    this.#onAccepted = onAccepted
  }

  get areWaiting(): boolean {
    return this.#since !== null
  }

  /** Returns how many came without a turn between them. */
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

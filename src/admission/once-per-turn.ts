import type { Clock } from './clock.ts'

/** Runs something at the end of the turn of the event loop in which it was asked for, once however often. */
export class OncePerTurn {
  readonly #clock: Clock
  readonly #run: () => void
  #isAsked = false

  constructor(clock: Clock, run: () => void) {
    this.#clock = clock
    this.#run = run
  }

  ask(): void {
    if (this.#isAsked) return
    this.#isAsked = true
    this.#clock.setImmediate(() => {
      this.#isAsked = false
      this.#run()
    })
  }
}

import type { Clock } from '../../src/admission/clock.ts'

/** Time that passes when the test says so. */
export class ManualClock implements Clock {
  #now = 10_000
  #turns: (() => void)[] = []
  readonly #timers = new Set<{ readonly at: number; readonly onTime: () => void }>()

  readonly now = (): number => this.#now

  readonly setTimeout = (onTime: () => void, delayMs: number): (() => void) => {
    const timer = { at: this.#now + delayMs, onTime }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  readonly setImmediate = (onTurn: () => void): void => void this.#turns.push(onTurn)

  /** How many timers are armed. */
  get timers(): number {
    return this.#timers.size
  }

  /** Ends the current turn of the event loop. */
  turn(): void {
    const turns = this.#turns
    this.#turns = []
    for (const onTurn of turns) onTurn()
  }

  advance(ms: number): void {
    this.#now += ms
    for (const timer of [...this.#timers].toSorted((a, b) => a.at - b.at)) {
      if (timer.at > this.#now || !this.#timers.delete(timer)) continue
      timer.onTime()
    }
  }
}

import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../../src/admission/clock.ts'

interface Due {
  readonly at: number
  readonly run: () => void
}

/** Time that passes as soon as nothing else is to be done: what takes seconds is over at once, and the same each time. */
export class VirtualClock implements Clock {
  #now = 0
  /** By time; equal ones by arrival. */
  readonly #due: Due[] = []

  readonly now = (): number => this.#now

  readonly setTimeout = (onTime: () => void, delayMs: number): (() => void) => {
    const due = { at: this.#now + delayMs, run: onTime }
    const later = this.#due.findIndex(({ at }) => at > due.at)
    this.#due.splice(later < 0 ? this.#due.length : later, 0, due)
    return () => {
      const at = this.#due.indexOf(due)
      if (at >= 0) this.#due.splice(at, 1)
    }
  }

  readonly setImmediate = (onTurn: () => void): void => void this.setTimeout(onTurn, 0)

  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => void this.setTimeout(resolve, ms))
  }

  /** Lets time pass until the work is done; what is due then is dropped. */
  async passWhile(work: () => Promise<void>): Promise<void> {
    let isDone = false
    const done = work().finally(() => {
      isDone = true
    })
    done.catch(() => {}) // told below
    for (;;) {
      await turn() // what has happened, happens in full
      if (isDone) break
      const next = this.#due.shift()
      if (next === undefined) throw new Error('nothing is due any more')
      this.#now = Math.max(this.#now, next.at)
      next.run()
    }
    this.#due.length = 0
    await done
  }
}

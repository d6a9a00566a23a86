import { setImmediate as turn } from 'node:timers/promises'
import type { WallClock } from '../../src/credentials/renew.ts'

interface Timer {
  at: number
  readonly run: () => void
}

/** Time that moves only when a test says so. */
export class FakeClock implements WallClock {
  /** Delays that were slept, in ms; sleeping takes no time. */
  readonly slept: number[] = []
  #now: number
  readonly #timers = new Set<Timer>()

  constructor(start: string | number) {
    this.#now = new Date(start).getTime()
  }

  now(): number {
    return this.#now
  }

  after(delayMs: number, run: () => void): () => void {
    const timer = { at: this.#now + delayMs, run }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    this.slept.push(delayMs)
    return signal.aborted ? Promise.reject(signal.reason as Error) : Promise.resolve()
  }

  get timers(): number {
    return this.#timers.size
  }

  /** Moves to a point of time and runs what falls due on the way, in order. */
  moveTo(time: string | number): void {
    const end = new Date(time).getTime()
    for (;;) {
      const due = [...this.#timers].filter(({ at }) => at <= end).toSorted((a, b) => a.at - b.at)[0]
      if (due === undefined) break
      this.#timers.delete(due)
      this.#now = due.at
      due.run()
    }
    this.#now = end
  }

  moveBy(ms: number): void {
    this.moveTo(this.#now + ms)
  }

  /** The machine sleeps: time passes and no timer notices. */
  suspend(ms: number): void {
    this.#now += ms
  }

  /** The machine's clock was wrong and is set right: timers go on as they were. */
  putBack(ms: number): void {
    this.#now -= ms
    for (const timer of this.#timers) timer.at -= ms
  }
}

/** Waiting takes no time, moves the clock, and lets others have a turn. */
export class HastyClock extends FakeClock {
  /** Called after each wait. */
  onSleep: () => void = () => {}

  override async sleep(delayMs: number, signal: AbortSignal): Promise<void> {
    await turn()
    await super.sleep(delayMs, signal)
    this.moveBy(delayMs)
    this.onSleep()
  }
}

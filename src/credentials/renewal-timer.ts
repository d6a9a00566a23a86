import type { Clock } from './clock.ts'

/** Timers do not count while a machine sleeps, so none is longer than this. */
const MAX_TIMER_MS = 60_000
/** Whatever goes wrong, nothing is renewed in a tight loop. */
const MIN_TIMER_MS = 1000

/** An alarm for a point of wall-clock time; at most one is set. Never keeps the process alive. */
export class RenewalTimer {
  readonly #clock: Clock
  readonly #onDue: () => void
  #cancel: (() => void) | null = null

  constructor(clock: Clock, onDue: () => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  /** Replaces the alarm; a time in the past means soon, `null` means never. */
  set(at: number | null): void {
    this.clear()
    if (at === null) return
    const delayMs = Math.min(Math.max(at - this.#clock.now(), MIN_TIMER_MS), MAX_TIMER_MS)
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = null
      if (this.#clock.now() < at) this.set(at)
      else this.#onDue()
    })
  }

  clear(): void {
    this.#cancel?.()
    this.#cancel = null
  }
}

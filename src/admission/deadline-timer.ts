import type { Clock } from './clock.ts'

/** Node fires a longer delay at once. */
const LONGEST_DELAY_MS = 2 ** 31 - 1

/** One timer for many deadlines: it is aimed at the earliest, and may go off before that one, never after. */
export class DeadlineTimer {
  readonly #clock: Clock
  readonly #onTime: () => void
  #armed: { readonly at: number; readonly cancel: () => void } | null = null

  constructor(clock: Clock, onTime: () => void) {
    this.#clock = clock
    this.#onTime = onTime
  }

  /** `null` when nothing is due any more. A timer that is early already stays as it is. */
  aim(at: number | null): void {
    if (this.#armed !== null) {
      if (at !== null && this.#armed.at <= at) return
      this.#armed.cancel()
      this.#armed = null
    }
    if (at === null) return
    const delayMs = Math.min(LONGEST_DELAY_MS, Math.max(1, Math.ceil(at - this.#clock.now())))
    const cancel = this.#clock.setTimeout(() => {
      this.#armed = null
      this.#onTime()
    }, delayMs)
    this.#armed = { at, cancel }
  }
}

import { monotonicNow } from './monotonic-clock.ts'

/** Time as the admission code sees it; replaceable, so that tests need not wait. */
export interface Clock {
  /** Milliseconds, comparable in all processes of the machine. */
  readonly now: () => number
  /** Returns what cancels it. */
  readonly setTimeout: (onTime: () => void, delayMs: number) => () => void
  /** Runs a function once the current turn of the event loop is done. */
  readonly setImmediate: (onTurn: () => void) => void
}

export const SYSTEM_CLOCK: Clock = {
  now: monotonicNow,
  setTimeout: (onTime, delayMs) => {
    const timer = setTimeout(onTime, delayMs)
    return () => clearTimeout(timer)
  },
  setImmediate: (onTurn) => void setImmediate(onTurn)
}

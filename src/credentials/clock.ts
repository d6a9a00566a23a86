import { setTimeout as sleep } from 'node:timers/promises'

/** Time as the refresher sees it; tests bring their own. */
export interface Clock {
  /** Epoch ms: expiry times are wall-clock times. */
  now(): number
  /** Runs something later without keeping the process alive; the result calls it off. */
  after(delayMs: number, run: () => void): () => void
  /** Waits, and keeps the process alive meanwhile. Rejects when the signal aborts. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  now: () => Date.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs).unref()
    return () => clearTimeout(timer)
  },
  sleep: (delayMs, signal) => sleep(delayMs, undefined, { signal })
}

import { setNewest } from '../shared/newest.ts'
import { DEVICE_LIMITS } from './device-limits.ts'

/** A poll on time may arrive a little early. */
const LEEWAY_MS = 500

interface Pace {
  readonly at: number
  readonly intervalMs: number
}

/** Says which polls come too early. Each of them makes the interval longer (RFC 8628 §3.5). */
export class PollPace {
  readonly #now: () => number
  /** By hash of the device code. Bounded by `DEVICE_LIMITS.pending`. */
  readonly #paces = new Map<string, Pace>()

  /** `now` returns monotonic ms. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** Returns true if the poll is too early. */
  isTooEarly(hash: string): boolean {
    const now = this.#now()
    const { intervalMs, slowDownMs, pending } = DEVICE_LIMITS
    const before = this.#paces.get(hash) ?? { at: -Infinity, intervalMs }
    const isEarly = now - before.at < before.intervalMs - LEEWAY_MS
    const next = isEarly ? before.intervalMs + slowDownMs : before.intervalMs
    setNewest(this.#paces, pending, hash, { at: now, intervalMs: next })
    return isEarly
  }

  forget(hash: string): void {
    this.#paces.delete(hash)
  }
}

import { type Refusal, throttled } from '../../src/simulator/refusal.ts'

export interface RateLimit {
  /** Requests that are taken within any window. */
  readonly requests: number
  /** A minute where it is left out. */
  readonly windowMs?: number
}

export interface RateStats {
  /** Most requests taken within one window. */
  readonly most: number
  /** Requests refused because of the rate. */
  readonly refused: number
}

const MINUTE_MS = 60_000

/** Limits generations and searches as a service does that looks back over a sliding window. */
export class RequestRate {
  readonly #limit: RateLimit | null
  readonly #now: () => number
  /** When requests were taken. Bounded by the limit. */
  #taken: number[] = []
  #most = 0
  #refused = 0

  /** `null` takes everything, and counts nothing. */
  constructor(limit: RateLimit | null, now: () => number) {
    this.#limit = limit
    this.#now = now
  }

  /** Takes a request, or says why not and when it would be. */
  take(): Refusal | null {
    if (this.#limit === null) return null
    const { requests, windowMs = MINUTE_MS } = this.#limit
    const now = this.#now()
    this.#taken = this.#taken.filter((at) => at > now - windowMs)
    if (this.#taken.length >= requests) {
      this.#refused += 1
      const freeAt = (this.#taken[0] ?? now) + windowMs
      return { ...throttled(null), retryAfterS: Math.max(1, Math.ceil((freeAt - now) / 1000)) }
    }
    this.#taken.push(now)
    this.#most = Math.max(this.#most, this.#taken.length)
    return null
  }

  /** Nothing where there is no limit. */
  stats(): { readonly rate?: RateStats } {
    if (this.#limit === null) return {}
    return { rate: { most: this.#most, refused: this.#refused } }
  }

  reset(): void {
    this.#most = 0
    this.#refused = 0
  }
}

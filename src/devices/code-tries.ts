import { networkOf } from '../shared/network.ts'
import { setNewest } from '../shared/newest.ts'
import { USER_CODE_CHARS, USER_CODE_LETTERS } from './user-code.ts'

/** All codes that there can be: 20^8, some 25.6 thousand million. */
export const CODES = USER_CODE_LETTERS.length ** USER_CODE_CHARS

/** Highest chance to guess any code within a window. */
export const MAX_CHANCE = 1e-6
const WINDOW_MS = 10 * 60_000
/** An address may be wrong so often at once, and once more each minute. */
const BURST = 5
const EVERY_MS = 60_000
/** The oldest are forgotten first; the limit for all still holds. */
const MAX_ADDRESSES = 1_000

interface Bucket {
  readonly spent: number
  readonly at: number
}

/**
 * Limits wrong user codes. A try hits with a chance of (codes that wait) / `CODES`, so each costs as much as codes wait,
 * and within a window all tries together cost less than `MAX_CHANCE * CODES`. The fewer codes wait, the more tries.
 */
export class CodeTries {
  readonly #now: () => number
  readonly #budget: number
  /** Ordered by last try. Bounded by MAX_ADDRESSES. */
  readonly #addresses = new Map<string, Bucket>()
  #all: Bucket

  /** `gateways`: how many count for themselves. `now` returns monotonic ms. */
  constructor(gateways = 1, now: () => number = () => performance.now()) {
    this.#now = now
    // A burst and what a window gives back add up to the whole.
    this.#budget = (MAX_CHANCE * CODES) / 2 / gateways
    this.#all = { spent: 0, at: now() }
  }

  /** Returns 0, or the ms until this address may try a code. */
  waitMs(address: string, codes: number): number {
    const now = this.#now()
    const own = left(this.#addresses.get(networkOf(address)), 1 / EVERY_MS, now)
    const all = left(this.#all, this.#budget / WINDOW_MS, now)
    const ownWait = own + 1 <= BURST ? 0 : (own + 1 - BURST) * EVERY_MS
    const over = all + Math.min(codes, this.#budget) - this.#budget
    const allWait = over <= 0 ? 0 : (over / this.#budget) * WINDOW_MS
    return Math.ceil(Math.max(ownWait, allWait))
  }

  /** Counts a try while so many codes wait, before its outcome is known. */
  onTry(address: string, codes: number): void {
    this.#count(address, 1, codes)
  }

  /** Gives back a try whose code was right. */
  onRight(address: string, codes: number): void {
    this.#count(address, -1, -codes)
  }

  #count(address: string, tries: number, codes: number): void {
    const now = this.#now()
    const name = networkOf(address)
    const own = left(this.#addresses.get(name), 1 / EVERY_MS, now)
    setNewest(this.#addresses, MAX_ADDRESSES, name, { spent: Math.max(0, own + tries), at: now })
    const all = left(this.#all, this.#budget / WINDOW_MS, now)
    this.#all = { spent: Math.max(0, all + codes), at: now }
  }
}

function left(bucket: Bucket | undefined, perMs: number, now: number): number {
  return bucket === undefined ? 0 : Math.max(0, bucket.spent - (now - bucket.at) * perMs)
}

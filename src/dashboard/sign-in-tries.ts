import { networkOf } from '../shared/network.ts'
import { setNewest } from '../shared/newest.ts'

/** An address may try `burst` times at once, then once every `everyMs`. */
const PER_ADDRESS = { burst: 5, everyMs: 60_000 } as const
const IN_ALL = { burst: 60, everyMs: 5_000 } as const
/** The oldest are forgotten first; the limit for all still holds. */
const MAX_ADDRESSES = 1_000

interface Bucket {
  tries: number
  at: number
}

/** Limits sign-ins with wrong keys. Attempts count before their outcome, or parallel ones would evade the limit. */
export class SignInTries {
  readonly #now: () => number
  /** Ordered by last attempt. Bounded by MAX_ADDRESSES. */
  readonly #addresses = new Map<string, Bucket>()
  readonly #all: Bucket

  /** `now` returns monotonic ms. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#all = { tries: 0, at: now() }
  }

  take(address: string): number {
    const name = networkOf(address)
    const now = this.#now()
    const own = this.#addresses.get(name) ?? { tries: 0, at: now }
    const waitMs = Math.max(waitOf(own, PER_ADDRESS, now), waitOf(this.#all, IN_ALL, now))
    if (waitMs > 0) return waitMs
    own.tries++
    this.#all.tries++
    setNewest(this.#addresses, MAX_ADDRESSES, name, own)
    return 0
  }

  succeeded(address: string): void {
    this.#addresses.delete(networkOf(address))
    this.#all.tries = Math.max(0, this.#all.tries - 1)
  }
}

function waitOf(
  bucket: Bucket,
  { burst, everyMs }: typeof PER_ADDRESS | typeof IN_ALL,
  now: number
) {
  const free = Math.floor((now - bucket.at) / everyMs)
  bucket.at = bucket.tries <= free ? now : bucket.at + free * everyMs
  bucket.tries = Math.max(0, bucket.tries - free)
  return bucket.tries < burst ? 0 : bucket.at + everyMs - now
}

import { isIPv6 } from 'node:net'

/** An address may try so often at once, and then once in so long. */
const PER_ADDRESS = { burst: 5, everyMs: 60_000 } as const
/** All addresses together. */
const IN_ALL = { burst: 60, everyMs: 5_000 } as const
/** Most addresses remembered, the oldest forgotten first; the limit for all together still holds. */
const MAX_ADDRESSES = 1_000

interface Bucket {
  tries: number
  at: number
}

/**
 * Limits sign-ins to the dashboard with wrong keys. A try counts before its outcome is known, so that many at once are
 * no way around it; a successful one does not count. Beyond the limit tries are answered late, and a wrong key must
 * wait.
 */
export class SignInTries {
  readonly #now: () => number
  /** The one that tried last comes last. Bounded by MAX_ADDRESSES. */
  readonly #addresses = new Map<string, Bucket>()
  readonly #all: Bucket

  /** `now` gives milliseconds of a clock that never goes back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
    this.#all = { tries: 0, at: now() }
  }

  /** 0 for a try that is counted now; else in how many milliseconds there may be one. */
  take(address: string): number {
    const name = networkOf(address)
    const now = this.#now()
    const own = this.#addresses.get(name) ?? { tries: 0, at: now }
    const waitMs = Math.max(waitOf(own, PER_ADDRESS, now), waitOf(this.#all, IN_ALL, now))
    if (waitMs > 0) return waitMs
    own.tries++
    this.#all.tries++
    this.#addresses.delete(name) // to the end of the line
    this.#addresses.set(name, own)
    const [oldest] = this.#addresses.keys()
    if (this.#addresses.size > MAX_ADDRESSES && oldest !== undefined) {
      this.#addresses.delete(oldest)
    }
    return 0
  }

  /** The key was right. */
  succeeded(address: string): void {
    this.#addresses.delete(networkOf(address))
    this.#all.tries = Math.max(0, this.#all.tries - 1)
  }
}

/** Lets what has been tried long ago count no more. */
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

/** Network of an address: the IPv6 prefix of one household or server; an IPv4 address may come as one of IPv6. */
function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1]
  if (mapped !== undefined) return mapped
  if (!isIPv6(address)) return address.slice(0, 45)
  const [head = '', tail] = address.split('%', 1)[0]?.split('::') ?? []
  const groups = head.split(':').filter((group) => group !== '')
  const after = tail === undefined ? [] : tail.split(':').filter((group) => group !== '')
  const missing = tail === undefined ? 0 : 8 - groups.length - after.length
  const all = [...groups, ...Array.from({ length: Math.max(0, missing) }, () => '0'), ...after]
  return all.slice(0, 4).join(':')
}

import { lookup } from 'node:dns/promises'
import {
  createNameLookup,
  type HostAddress,
  type NameAnswer,
  type NameLookup,
  NameUnresolved
} from './name-lookup.ts'
import { codeOf, unlessAborted } from '../../shared/errors.ts'
import { setNewest } from '../../shared/newest.ts'

/** Bounds of an answer's lifetime: containers move. */
const MIN_FRESH_MS = 1_000
const MAX_FRESH_MS = 10_000
/** Longest use of the last good answer while name servers fail. */
const MAX_STALE_MS = 24 * 3_600_000
/** Longest wait for a new answer if there is an old one. */
const STALE_PATIENCE_MS = 200
/** Pause after a failure if there is a good answer. */
const RETRY_MS = 5_000
/** Upstream hosts and proxies are a handful; the oldest is forgotten beyond this. */
const MAX_HOSTS = 64

interface Known {
  readonly addresses: readonly HostAddress[]
  readonly foundAt: number
  freshUntil: number
  retryAt: number
}

interface Running {
  readonly found: Promise<readonly HostAddress[]>
  readonly abort: AbortController
  /** Callers that have not given up. With an old answer none is subtracted: a new one is of use to all. */
  waiting: number
}

export interface HostNamesOptions {
  readonly lookUp?: NameLookup
  readonly now?: () => number
}

export function upstreamNames(servers: readonly string[]): HostNames {
  const ask = createNameLookup({ servers })
  return new HostNames({ lookUp: servers.length > 0 ? ask : withSystem(ask) })
}

/**
 * Names of the upstream's hosts and of proxies: one look-up for all callers, cached for seconds; the last good answer
 * is kept for a day, so that failing name servers do not cut off a working gateway.
 *
 *   unknown ──found──▶ fresh ──time──▶ stale ──found──▶ fresh
 *      ▲                                 │ └─ no answer: the last one serves, and is asked for again
 *      └──── the name does not exist ────┘
 *
 * Separate from look-ups for clients' URLs. @see https://www.rfc-editor.org/rfc/rfc8767
 */
export class HostNames {
  readonly #lookUp: NameLookup
  readonly #now: () => number
  /** Bounded by MAX_HOSTS. */
  readonly #known = new Map<string, Known>()
  /** Bounded by the number of hosts, which no client names. */
  readonly #running = new Map<string, Running>()

  constructor({ lookUp, now = () => performance.now() }: HostNamesOptions = {}) {
    this.#lookUp = lookUp ?? withSystem(createNameLookup())
    this.#now = now
  }

  /** @throws {NameUnresolved} without addresses; the signal's reason when it aborts first */
  async resolve(host: string, signal: AbortSignal): Promise<readonly HostAddress[]> {
    signal.throwIfAborted()
    const known = this.#recall(host)
    const now = this.#now()
    if (known !== null && (now < known.freshUntil || now < known.retryAt)) return known.addresses
    const running = this.#running.get(host) ?? this.#start(host)
    running.waiting += 1
    return known === null
      ? this.#whole(host, running, signal)
      : this.#unlessLate(running, known, signal)
  }

  /** Connecting to one of its addresses failed: the next caller asks anew. */
  doubt(host: string): void {
    const known = this.#known.get(host)
    if (known !== undefined) known.freshUntil = 0
  }

  close(reason: Error = new Error('names are not looked up any more')): void {
    for (const { abort } of this.#running.values()) abort.abort(reason)
  }

  #recall(host: string): Known | null {
    const known = this.#known.get(host)
    if (known === undefined) return null
    if (this.#now() - known.foundAt <= MAX_STALE_MS) return known
    this.#known.delete(host)
    return null
  }

  #start(host: string): Running {
    const abort = new AbortController()
    const found = this.#lookUp(host, abort.signal)
      .then((answer) => this.#remember(host, answer))
      .catch((cause: unknown) => {
        this.#noteFailure(host, cause)
        throw cause
      })
      .finally(() => {
        if (this.#running.get(host) === running) this.#running.delete(host)
      })
    found.catch(() => {}) // where the last good answer serves, this one is not awaited
    const running: Running = { found, abort, waiting: 0 }
    this.#running.set(host, running)
    return running
  }

  #remember(host: string, { addresses, ttlMs }: NameAnswer): readonly HostAddress[] {
    const now = this.#now()
    const freshUntil = now + Math.min(Math.max(ttlMs, MIN_FRESH_MS), MAX_FRESH_MS)
    setNewest(this.#known, MAX_HOSTS, host, { addresses, foundAt: now, freshUntil, retryAt: 0 })
    return addresses
  }

  #noteFailure(host: string, cause: unknown): void {
    const known = this.#known.get(host)
    if (known === undefined) return
    if (cause instanceof NameUnresolved && cause.code === 'ENOTFOUND') this.#known.delete(host)
    else known.retryAt = this.#now() + RETRY_MS
  }

  #whole(host: string, running: Running, signal: AbortSignal): Promise<readonly HostAddress[]> {
    return unlessAborted(running.found, signal, () => {
      running.waiting -= 1
      if (running.waiting > 0) return
      this.#running.delete(host)
      running.abort.abort(signal.reason)
    })
  }

  async #unlessLate(
    { found }: Running,
    known: Known,
    signal: AbortSignal
  ): Promise<readonly HostAddress[]> {
    const { promise: late, resolve } = Promise.withResolvers<readonly HostAddress[]>()
    const timer = setTimeout(() => {
      known.retryAt = this.#now() + RETRY_MS // until the answer comes, others need not find out as well
      resolve(known.addresses)
    }, STALE_PATIENCE_MS)
    try {
      return await unlessAborted(Promise.race([found, late]), signal)
    } catch (cause) {
      if (cause instanceof NameUnresolved && cause.code === 'EAI_AGAIN') return known.addresses
      throw cause
    } finally {
      clearTimeout(timer)
    }
  }
}

const SYSTEM_TTL_MS = MAX_FRESH_MS

/**
 * Asks the system about names unknown to name servers: `nsswitch.conf` may have other sources (mDNS, LDAP),
 * and `resolv.conf` may complete short names, as in Kubernetes. One at a time, as it cannot be cancelled;
 * never after silent servers, which it would ask again.
 */
export function withSystem(lookUp: NameLookup): NameLookup {
  let last: Promise<unknown> = Promise.resolve()
  return async (host, signal) => {
    try {
      return await lookUp(host, signal)
    } catch (cause) {
      if (!(cause instanceof NameUnresolved && cause.code === 'ENOTFOUND')) throw cause
      const turn = last.then(async () => {
        signal.throwIfAborted()
        return askSystem(host)
      })
      last = turn.catch(() => {})
      return unlessAborted(turn, signal)
    }
  }
}

async function askSystem(host: string): Promise<NameAnswer> {
  try {
    const found = await lookup(host, { all: true })
    const addresses = found.map(
      ({ address, family }): HostAddress => ({ address, family: family === 6 ? 6 : 4 })
    )
    if (addresses.length > 0) return { addresses, ttlMs: SYSTEM_TTL_MS }
  } catch (cause) {
    const code = codeOf(cause) || 'unknown'
    throw new NameUnresolved(code === 'EAI_AGAIN' ? 'EAI_AGAIN' : 'ENOTFOUND', host, code)
  }
  throw new NameUnresolved('ENOTFOUND', host, 'no address')
}

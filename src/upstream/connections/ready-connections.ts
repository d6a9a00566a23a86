import type { CloseReason, Connection } from './connection.ts'
import type { PoolLimits } from './pool.ts'

/** Access to the pool that it belongs to. */
export interface ReadyOptions {
  readonly limits: PoolLimits
  /** Idle connections of all origins; changes in place. */
  readonly idle: readonly Connection[]
  /** `null` where idle connections are never closed. */
  readonly expiryMs: () => number | null
  readonly counts: () => { readonly busy: number; readonly sockets: number }
  /** Opens a connection within the limits; rejects when it fails or the signal aborts. */
  readonly establish: (origin: URL, signal: AbortSignal) => Promise<Connection>
  /** Takes a connection that may be used from now on. */
  readonly rest: (connection: Connection) => void
}

/** Interval between checks. */
const PERIOD_MS = 1000
/** Time after the last request: readers of an answer usually continue within this time. */
export const READY_FOR_MS = 30 * 60_000
/** One that will be closed for its age within this time is replaced already. */
const NEAR_END_MS = 2 * PERIOD_MS
/** One that ends sooner, without a request, was opened in vain. */
const YOUNG_MS = 30_000
/** Between attempts: after the first that was in vain, at most, and at most where a request came in between. */
const FIRST_PAUSE_MS = 2000
const LONGEST_PAUSE_MS = 300_000
const PAUSE_IN_USE_MS = 10_000
/** One that takes longer is given up: a request that has the last permit waits for its place. */
const LONGEST_OPENING_MS = 3000

/**
 * Keeps some unused connections open (`HTTP_MIN_IDLE_CONNECTIONS`), so that a request after a pause pays no handshake:
 * to where the last request went, and for `READY_FOR_MS` after it. One that grows too old, or that the peer closes, is
 * replaced: later and later if that is in vain.
 *
 * They are sockets of the pool like all others: opened only if there is room for one more, given up as soon as permits
 * are to go back. A request that comes while one is being opened does not wait for it.
 */
export class ReadyConnections {
  /** Set by the pool for each request, and not by a call: that is a step of every request. */
  lastUse: { readonly origin: URL; readonly at: number } | null = null
  readonly #options: ReadyOptions
  /** Pending attempts, and how to end them. Bounded by `limits.minIdle()`. */
  readonly #attempts = new Map<AbortController, Promise<void>>()
  #timer: NodeJS.Timeout | null = null
  #attemptedAt = -Infinity
  /** Attempts in vain, one after the other. */
  #failures = 0

  constructor(options: ReadyOptions) {
    this.#options = options
  }

  get isOpening(): boolean {
    return this.#attempts.size > 0
  }

  /** A request needs a connection, and none was ready. */
  wake(): void {
    if (this.#timer !== null || this.#options.limits.minIdle === undefined) return
    this.#timer = setInterval(() => this.tick(performance.now()), PERIOD_MS)
    this.#timer.unref()
  }

  /** Opens what is missing. `now` is of `performance.now()`. */
  tick(now: number): void {
    const { lastUse } = this
    if (lastUse === null) return
    const isQuiet = this.#options.counts().busy === 0
    if (isQuiet && now - lastUse.at > READY_FOR_MS) return this.#sleep()
    if (now - this.#attemptedAt < this.#pauseMs(lastUse.at)) return
    const missing = this.#missing(lastUse.origin, now)
    for (let opened = 0; opened < missing; opened++) {
      this.#attemptedAt = now
      this.#open(lastUse.origin)
    }
  }

  /** A connection of the pool has gone. */
  ended(
    connection: Connection,
    how: { readonly reason: CloseReason; readonly openMs: number }
  ): void {
    if (!connection.isAhead || how.reason === 'reclaimed' || how.reason === 'excess_idle') return
    const isInVain = connection.requests === 0 && how.openMs < YOUNG_MS
    this.#failures = isInVain ? this.#failures + 1 : 0
  }

  /** Ends what is being opened. Resolves when that is idle or gone. */
  async giveUp(): Promise<void> {
    for (const attempt of this.#attempts.keys()) attempt.abort(new Error('given up'))
    await Promise.all(this.#attempts.values())
  }

  close(): void {
    this.#sleep()
    void this.giveUp() // cannot reject
  }

  #sleep(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #pauseMs(usedAt: number): number {
    if (this.#failures === 0) return 0
    const pauseMs = Math.min(LONGEST_PAUSE_MS, FIRST_PAUSE_MS * 2 ** (this.#failures - 1))
    return usedAt > this.#attemptedAt ? Math.min(PAUSE_IN_USE_MS, pauseMs) : pauseMs
  }

  #missing({ origin }: URL, now: number): number {
    const { limits, idle, expiryMs, counts } = this.#options
    const expiry = expiryMs() ?? Infinity
    const idleSince = now - expiry + Math.min(NEAR_END_MS, expiry / 4)
    const isReady = (one: Connection): boolean =>
      one.isIdle && one.origin.origin === origin && one.idleSince > idleSince
    const wanted = Math.min(limits.minIdle?.() ?? 0, limits.maxIdle())
    const missing = wanted - idle.filter(isReady).length - this.#attempts.size
    return Math.min(missing, limits.maxSockets() - counts().sockets)
  }

  #open(origin: URL): void {
    const abort = new AbortController()
    const attempt = this.#establish(origin, abort.signal).finally(() => {
      this.#attempts.delete(abort)
    })
    this.#attempts.set(abort, attempt)
  }

  async #establish(origin: URL, signal: AbortSignal): Promise<void> {
    try {
      const limited = AbortSignal.any([signal, AbortSignal.timeout(LONGEST_OPENING_MS)])
      const connection = await this.#options.establish(origin, limited)
      connection.rest()
      this.#options.rest(connection)
    } catch {
      if (!signal.aborted) this.#failures += 1 // a request that fails for the same reason says so
    }
  }
}

import type { CloseReason, Connection } from './connection.ts'
import type { PoolLimits } from './pool.ts'

export interface ReadyOptions {
  readonly limits: PoolLimits
  readonly idle: readonly Connection[]
  readonly expiryMs: () => number | null
  readonly counts: () => { readonly busy: number; readonly sockets: number }
  readonly establish: (origin: URL, signal: AbortSignal) => Promise<Connection>
  readonly rest: (connection: Connection) => void
}

const PERIOD_MS = 1000
/** Time after the last request: readers of an answer usually continue within it. */
export const READY_FOR_MS = 30 * 60_000
/** A connection that expires within this time is replaced already. */
const NEAR_END_MS = 2 * PERIOD_MS
/** A connection that ends sooner, unused, was opened in vain. */
const YOUNG_MS = 30_000
/** Pauses after vain attempts: the first, the longest, and the longest if a request came in between. */
const FIRST_PAUSE_MS = 2000
const LONGEST_PAUSE_MS = 300_000
const PAUSE_IN_USE_MS = 10_000
/** Longest attempt: a request with the last permit waits for the place. */
const LONGEST_OPENING_MS = 3000

/**
 * Keeps unused connections open (`HTTP_MIN_IDLE_CONNECTIONS`) to the last request's origin for
 * `READY_FOR_MS`, so that a request after a pause needs no handshake. They use only spare room, and go when
 * permits have to. A request does not wait for one that is being opened.
 */
export class ReadyConnections {
  /** Set by the pool, without a call: this is part of every request. */
  lastUse: { readonly origin: URL; readonly at: number } | null = null
  readonly #options: ReadyOptions
  /** Bounded by `limits.minIdle()`. */
  readonly #attempts = new Map<AbortController, Promise<void>>()
  #timer: NodeJS.Timeout | null = null
  #attemptedAt = -Infinity
  #failures = 0

  constructor(options: ReadyOptions) {
    this.#options = options
  }

  get isOpening(): boolean {
    return this.#attempts.size > 0
  }

  wake(): void {
    if (this.#timer !== null || this.#options.limits.minIdle === undefined) return
    this.#timer = setInterval(() => this.tick(performance.now()), PERIOD_MS)
    this.#timer.unref()
  }

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

  ended(
    connection: Connection,
    how: { readonly reason: CloseReason; readonly openMs: number }
  ): void {
    if (!connection.isAhead || how.reason === 'reclaimed' || how.reason === 'excess_idle') return
    const isInVain = connection.requests === 0 && how.openMs < YOUNG_MS
    this.#failures = isInVain ? this.#failures + 1 : 0
  }

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

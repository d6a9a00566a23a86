import { setTimeout as delay } from 'node:timers/promises'
import { codeOf, unlessAborted } from '../../shared/errors.ts'
import { HostNames } from '../names/host-names.ts'
import { addressOf, type ProxyChoice } from '../proxy/proxy.ts'
import { type CloseReason, Connection, NOTICE_GRACE_MS } from './connection.ts'
import { openSocket } from './open-socket.ts'

/** Limits, asked each time because leases move. */
export interface PoolLimits {
  /** Busy, idle, connecting or closing. */
  maxSockets(): number
  maxIdle(): number
  /** Kept open and idle after requests, if there is room; default none. */
  minIdle?(): number
}

export interface PoolOptions {
  readonly limits: PoolLimits
  readonly chooseProxy: ProxyChoice
  readonly names?: HostNames
  readonly connectTimeoutMs: number
  /** `null`: for ever. */
  readonly keepaliveExpiryMs: number | null
  readonly onConnectionClosed?: (openSeconds: number) => void
  readonly ca?: string
}

export type OpenReason = 'first' | 'all_busy' | 'ahead'

export interface PoolStats {
  readonly busy: number
  readonly idle: number
  readonly connecting: number
  readonly closing: number
  readonly opened: number
  readonly openedFor: Readonly<Partial<Record<OpenReason, number>>>
  readonly reused: number
  readonly closed: Readonly<Partial<Record<CloseReason, number>>>
}

/**
 * Connections of one process to all upstream hosts.
 * Invariant: sockets in any state ≤ `limits.maxSockets()`, except that `trim()` follows a lowered limit.
 * Nothing queues here: a caller holds a permit, and permits never exceed the allowed sockets, so one is
 * idle, closing or not yet open for it.
 */
export class ConnectionPool {
  readonly #options: PoolOptions
  readonly #names: HostNames
  /** Bounded by `limits.maxSockets()`. */
  readonly #open = new Set<Connection>()
  /** Oldest idle first. Requests take the newest, so that others can age. Bounded by `limits.maxIdle()`. */
  readonly #idle: Connection[] = []
  /** Bounded by the number of hosts, which no client names. */
  readonly #tlsSessions = new Map<string, Buffer>()
  readonly #closed: Partial<Record<CloseReason, number>> = {}
  /** Each connection that goes, or can be made to, wakes one. Bounded by the permits. */
  readonly #roomWaiters = new Set<() => void>()
  /** Resolved when the connection is gone. Bounded by `limits.maxSockets()`. */
  readonly #closing = new Map<Connection, PromiseWithResolvers<void>>()
  readonly #ready: ReadyConnections
  #keepaliveExpiryMs: number | null
  #sweep: NodeJS.Timeout | null = null
  #busy = 0
  #connecting = 0
  readonly #openedFor: Partial<Record<OpenReason, number>> = {}
  #opened = 0
  #reused = 0
  #isClosed = false

  constructor(options: PoolOptions) {
    this.#options = options
    this.#names = options.names ?? new HostNames()
    this.#keepaliveExpiryMs = options.keepaliveExpiryMs
    this.#ready = new ReadyConnections({
      limits: options.limits,
      idle: this.#idle,
      expiryMs: () => this.#keepaliveExpiryMs,
      counts: () => ({ busy: this.#busy, sockets: this.#sockets() }),
      establish: (origin, signal) => this.#establish(origin, signal, 'ahead'),
      rest: (connection) => this.#rest(connection)
    })
  }

  /** Takes the newest idle connection to the origin; the caller has it until `giveBack()` or `discard()`. */
  takeIdle(origin: URL): Connection | null {
    const name = origin.origin
    const isUsable = (one: Connection): boolean => one.isIdle && one.origin.origin === name
    const index = this.#idle.findLastIndex(isUsable)
    if (index < 0) return null
    const [connection = null] = this.#idle.splice(index, 1)
    this.#ready.lastUse = { origin, at: performance.now() }
    this.#reused += 1
    this.#busy += 1
    return connection
  }

  /**
   * Needs a permit; may close an idle connection to another host.
   * @throws the raw cause of a failed connect, or the signal's reason
   */
  async open(origin: URL, signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted()
    while (this.#sockets() >= this.#options.limits.maxSockets()) {
      await this.#makeRoom(signal)
      const idle = this.takeIdle(origin) // one that was being opened ahead
      if (idle !== null) return idle
    }
    this.#ready.lastUse = { origin, at: performance.now() }
    this.#ready.wake()
    const connection = await this.#establish(origin, signal, null)
    this.#busy += 1
    return connection
  }

  giveBack(connection: Connection): Promise<void> {
    if (this.#isClosed || !connection.settle()) return this.discard(connection)
    this.#busy -= 1
    this.#rest(connection)
    return Promise.resolve()
  }

  /** Resolves when the connection is gone: only then may its permit serve another request. */
  discard(connection: Connection): Promise<void> {
    this.#busy -= 1
    return this.#close(connection, 'abandoned')
  }

  /** Closes idle connections, oldest first, until at most `max` sockets are left; resolves when they are gone. */
  async trim(max: number): Promise<void> {
    this.#closeIdle(max)
    if (this.#ready.isOpening && this.#sockets() - this.#closing.size > max) {
      await this.#ready.giveUp()
      this.#closeIdle(max)
    }
    const gone = [...this.#closing.values()]
    await Promise.all(gone.map(({ promise }) => promise))
  }

  trimIdle(): void {
    const excess = this.#idle.length - this.#options.limits.maxIdle()
    if (excess <= 0) return
    for (const oldest of this.#idle.splice(0, excess)) void this.#close(oldest, 'excess_idle') // not awaited
  }

  setKeepaliveExpiry(keepaliveExpiryMs: number | null): void {
    this.#keepaliveExpiryMs = keepaliveExpiryMs
    if (this.#sweep !== null) clearTimeout(this.#sweep)
    this.#sweep = null
    this.#closeExpired()
  }

  stats(): PoolStats {
    return {
      busy: this.#busy,
      idle: this.#idle.length,
      connecting: this.#connecting,
      closing: this.#closing.size,
      opened: this.#opened,
      openedFor: { ...this.#openedFor },
      reused: this.#reused,
      closed: { ...this.#closed }
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    if (this.#sweep !== null) clearTimeout(this.#sweep)
    this.#ready.close()
    this.#names.close()
    await this.trim(0)
  }

  #hasOpen({ origin }: URL): boolean {
    for (const connection of this.#open) if (connection.origin.origin === origin) return true
    return false
  }

  #sockets(): number {
    return this.#open.size + this.#connecting
  }

  async #establish(origin: URL, signal: AbortSignal, why: 'ahead' | null): Promise<Connection> {
    if (this.#isClosed) throw new Error('the pool is closed')
    this.#connecting += 1
    const sockets = await this.#connect(origin, signal).catch((cause: unknown) => {
      this.#connecting -= 1
      this.#wakeRoomWaiter()
      throw cause
    })
    this.#connecting -= 1
    const onClosed = this.#onClosed.bind(this)
    const reason = why ?? (this.#hasOpen(origin) ? 'all_busy' : 'first')
    this.#openedFor[reason] = (this.#openedFor[reason] ?? 0) + 1
    const connection = new Connection({ origin, ...sockets, onClosed })
    this.#open.add(connection)
    this.#opened += 1
    return connection
  }

  async #connect(origin: URL, signal: AbortSignal) {
    const { chooseProxy, connectTimeoutMs, ca } = this.#options
    const proxy = chooseProxy(origin)
    const attempt = openSocket({
      origin,
      proxy,
      resolveHost: (host, ended) => this.#names.resolve(host, ended),
      timeoutMs: connectTimeoutMs,
      tlsSessions: this.#tlsSessions,
      ...(ca === undefined ? {} : { ca })
    })
    const { transport, ready } = attempt
    const onAbort = (): void => attempt.giveUp()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      const socket = await ready
      signal.throwIfAborted()
      return { socket, transport }
    } catch (cause) {
      // The peer may have accepted already, and needs time to notice the reset.
      attempt.giveUp()
      if (!signal.aborted) this.#names.doubt((proxy ?? addressOf(origin)).host)
      if (!isRefusal(cause)) await delay(NOTICE_GRACE_MS)
      throw signal.aborted ? signal.reason : cause
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
  }

  #rest(connection: Connection): void {
    this.#idle.push(connection)
    this.trimIdle()
    this.#scheduleSweep()
    this.#wakeRoomWaiter()
  }

  #close(connection: Connection, reason: CloseReason): Promise<void> {
    if (!this.#open.has(connection)) return Promise.resolve()
    const gone = this.#closing.get(connection) ?? Promise.withResolvers<void>()
    this.#closing.set(connection, gone)
    connection.close(reason)
    return gone.promise
  }

  #closeIdle(max: number): void {
    while (this.#sockets() - this.#closing.size > max) {
      const oldest = this.#idle.shift()
      if (oldest === undefined) break
      void this.#close(oldest, 'reclaimed') // cannot reject
    }
  }

  #makeRoom(signal: AbortSignal): Promise<void> {
    const oldest = this.#idle.shift()
    if (oldest !== undefined) void this.#close(oldest, 'excess_idle') // its going wakes a waiter
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#roomWaiters.add(resolve)
    return unlessAborted(promise, signal, () => this.#roomWaiters.delete(resolve))
  }

  #onClosed(connection: Connection, reason: CloseReason): void {
    this.#open.delete(connection)
    const index = this.#idle.indexOf(connection)
    if (index >= 0) this.#idle.splice(index, 1)
    this.#closed[reason] = (this.#closed[reason] ?? 0) + 1
    const openMs = performance.now() - connection.openedAt
    this.#options.onConnectionClosed?.(openMs / 1000)
    this.#ready.ended(connection, { reason, openMs })
    this.#closing.get(connection)?.resolve()
    this.#closing.delete(connection)
    this.#wakeRoomWaiter()
  }

  #wakeRoomWaiter(): void {
    const [next] = this.#roomWaiters
    if (next === undefined) return
    this.#roomWaiters.delete(next)
    next()
  }

  #scheduleSweep(): void {
    const [oldest] = this.#idle
    if (this.#sweep !== null || oldest === undefined) return
    if (this.#keepaliveExpiryMs === null || this.#isClosed) return
    const delayMs = Math.max(1, oldest.idleSince + this.#keepaliveExpiryMs - performance.now())
    this.#sweep = setTimeout(() => {
      this.#sweep = null
      this.#closeExpired()
    }, delayMs)
    this.#sweep.unref()
  }

  #closeExpired(): void {
    if (this.#keepaliveExpiryMs === null) return
    const limit = performance.now() - this.#keepaliveExpiryMs + 0.5 // timers may fire a little early
    const young = this.#idle.findIndex(({ idleSince }) => idleSince > limit)
    const expired = young < 0 ? this.#idle.splice(0) : this.#idle.splice(0, young)
    for (const connection of expired) void this.#close(connection, 'expired') // not awaited
    this.#scheduleSweep()
  }
}

/** True if no connection was made that the peer may still count. */
function isRefusal(cause: unknown): boolean {
  return ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN'].includes(codeOf(cause))
}

interface ReadyOptions {
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

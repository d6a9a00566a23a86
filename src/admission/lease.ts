import type { LeaseReport, LeaseGrant } from '../ipc/messages.ts'
import { abortErrorOf, GatewayError } from '../shared/errors.ts'
import { type Clock, DeadlineTimer, DrainRate, SYSTEM_CLOCK } from './clock.ts'
import { type LeaseCommand, LeaseCore } from './lease-core.ts'
import { poolTimeout, queueFull, type WaitState } from './wait-refusal.ts'

/** This worker's share of the connection budget. `LeaseCore` decides; here are its promises, timers and messages. */
export class Lease {
  readonly #options: LeaseOptions
  readonly #clock: Clock
  readonly #core: LeaseCore
  readonly #rate = new DrainRate()
  /** Bounded by the queue of the core. */
  readonly #waiters = new Map<number, WaitingRequest>()
  readonly #deadline: DeadlineTimer
  readonly #wake: DeadlineTimer
  #isReportAsked = false
  /** Issued with a start and not sent yet. Bounded by the permits held. */
  readonly #unsent = new Set<Permit>()
  readonly #issuer: PermitIssuer = {
    onSent: (permit) => this.#sent(permit),
    onRelease: (permit) => this.#release(permit)
  }
  #poolTimeoutMs: number | null
  #pausedAt: number | null = null
  #pausedMs = 0
  #nextId = 0
  bar: GatewayError | null = null // see `setBar()`

  constructor(options: LeaseOptions) {
    this.#options = options
    this.#clock = options.clock ?? SYSTEM_CLOCK
    this.#core = new LeaseCore({ maxWaiting: options.maxWaiting })
    this.#poolTimeoutMs = options.poolTimeoutMs
    this.#deadline = new DeadlineTimer(this.#clock, () => this.#refuseOverdue())
    this.#wake = new DeadlineTimer(this.#clock, () => {
      this.#apply(this.#core.wake(this.#clock.now()))
    })
  }

  isFull(key: string): boolean {
    return this.#core.isFull && this.#core.evictionFor(key) === null
  }

  /**
   * Waits for a permit, which the caller must release.
   * @throws {GatewayError} GW_QUEUE_FULL; GW_POOL_TIMEOUT once HTTP_POOL_TIMEOUT has passed and other workers could
   *   be asked; GW_CLIENT_CLOSED when `signal` aborts; GW_DRAINING
   */
  acquire({ key, arrivedAt }: AcquireOptions, signal: AbortSignal): Promise<Permit> {
    if (signal.aborted) return Promise.reject(clientClosed(signal))
    if (this.bar !== null) return Promise.reject(this.bar)
    const id = this.#nextId++
    const at = this.#countedFrom(arrivedAt)
    let answer = this.#core.acquire(id, key, at)
    if (answer === 'full' && this.#evictFor(key)) answer = this.#core.acquire(id, key, at)
    if (answer === 'issued') return Promise.resolve(new Permit(this.#issuer))
    if (answer === 'waiting') return this.#wait(id, { key, arrivedAt }, signal)
    return Promise.reject(this.#refusal(answer, arrivedAt))
  }

  onMessage(grant: LeaseGrant): void {
    const before = this.#core.grant.keepAlive
    this.#apply(this.#core.onGrant(grant, this.#clock.now()))
    const { keepAlive } = this.#core.grant
    if (keepAlive < before) this.#options.onKeepAlive?.(keepAlive)
  }

  state() {
    const { size, held, waiting, gated, grant } = this.#core
    return { budget: grant.budget, size, held, waiting, gated, keepAlive: grant.keepAlive }
  }

  get missing(): number {
    return this.#core.missing
  }

  get longestWaitMs(): number {
    const { oldest } = this.#core
    return oldest === null ? 0 : Math.max(0, this.#clock.now() - oldest.at)
  }

  get pausedMs(): number {
    const since = this.#pausedAt
    return since === null ? this.#pausedMs : this.#pausedMs + this.#clock.now() - since
  }

  /** Waiting requests lack only a start. */
  get isPacing(): boolean {
    return this.#core.isPaced && this.#core.held < this.#core.size
  }

  /** Makes all requests wait, then resumes them one by one over a further part of that time. */
  pause(ms: number): void {
    const now = this.#clock.now()
    const spreadMs = Math.min(MAX_SPREAD_MS, ms * SPREAD)
    const { random = Math.random } = this.#options
    const opensAt = now + ms + (random() * spreadMs) / 2
    this.#core.pause({ opensAt, endsAt: now + ms + spreadMs }, now)
    this.#afterChange()
  }

  refuseWaiting(error: GatewayError, isMeant: (key: string) => boolean): void {
    for (const [id, { key }] of this.#waiters) {
      if (!isMeant(key)) continue
      this.#core.abort(id)
      this.#take(id).reject(error)
    }
    this.#afterChange()
  }

  /** Refuses all requests, waiting ones included, until called with `null`. */
  setBar(error: GatewayError | null): void {
    this.bar = error
    if (error !== null) this.refuseWaiting(error, () => true)
  }

  /** Applies to waiting requests, too. All other limits come from the primary. */
  setLimits(limits: { readonly poolTimeoutMs: number | null }): void {
    this.#poolTimeoutMs = limits.poolTimeoutMs
    this.#refuseOverdue()
  }

  drain(): void {
    this.#apply(this.#core.drain(this.#clock.now()))
  }

  #release(permit: Permit): void {
    const now = this.#clock.now()
    this.#rate.note(now)
    const isUnsent = this.#unsent.size > 0 && this.#unsent.delete(permit)
    this.#apply(this.#core.release(now, isUnsent))
  }

  #sent(permit: Permit): void {
    if (!this.#core.isPaced && this.#unsent.size === 0) return
    this.#core.sent(this.#unsent.delete(permit))
    if (this.#core.isReportDue) this.#reportSoon()
  }

  #apply(commands: readonly LeaseCommand[]): void {
    for (const command of commands) {
      switch (command.type) {
        case 'issue':
          this.#issue(command)
          break
        case 'refuse':
          this.#refuse(command.id, command.reason)
          break
        case 'trim':
          void this.#trim(command) // rejects only by a bug of the pool, which has to crash
          break
      }
    }
    this.#afterChange()
  }

  #issue({ id, hasStart }: { readonly id: number; readonly hasStart: boolean }): void {
    const permit = new Permit(this.#issuer)
    if (hasStart) this.#unsent.add(permit)
    this.#take(id).resolve(permit)
  }

  async #trim({ max, permits }: { readonly max: number; readonly permits: number }): Promise<void> {
    await this.#options.trimSockets(max)
    this.#core.trimmed(permits)
    this.#afterChange()
  }

  #afterChange(): void {
    this.#notePause()
    const { oldest } = this.#core
    const timeoutMs = this.#poolTimeoutMs
    this.#deadline.aim(oldest === null || timeoutMs === null ? null : oldest.at + timeoutMs)
    this.#wake.aim(this.#core.wakeAt)
    if (this.#core.isReportDue) this.#reportSoon()
    const { missing } = this.#core
    if (missing > 0) this.#options.onMissing?.(missing)
  }

  #notePause(): void {
    if (this.#core.isPaused === (this.#pausedAt !== null)) return
    this.#pausedMs = this.pausedMs
    this.#pausedAt = this.#core.isPaused ? this.#clock.now() : null
  }

  #reportSoon(): void {
    if (this.#isReportAsked) return
    this.#isReportAsked = true
    this.#clock.setImmediate(() => {
      this.#isReportAsked = false
      if (this.#core.isReportDue) this.#options.send(this.#core.takeReport())
    })
  }

  #wait(id: number, { key, arrivedAt }: AcquireOptions, signal: AbortSignal): Promise<Permit> {
    const { promise, resolve, reject } = Promise.withResolvers<Permit>()
    const onAbort = (): void => {
      this.#core.abort(id)
      this.#take(id).reject(clientClosed(signal))
      this.#afterChange()
    }
    signal.addEventListener('abort', onAbort, { once: true })
    const unlisten = (): void => signal.removeEventListener('abort', onAbort)
    this.#waiters.set(id, { key, arrivedAt, resolve, reject, unlisten })
    this.#refuseOverdue()
    return promise
  }

  /** Removes the waiter, whose promise the caller must settle. */
  #take(id: number): WaitingRequest {
    const waiter = this.#waiters.get(id)
    if (waiter === undefined) throw new Error(`request ${id} does not wait`)
    this.#waiters.delete(id)
    waiter.unlisten()
    return waiter
  }

  #evictFor(key: string): boolean {
    const id = this.#core.evictionFor(key)
    if (id === null) return false
    this.#core.abort(id)
    this.#refuse(id, 'full')
    return true
  }

  #refuse(id: number, reason: 'full' | 'draining'): void {
    const { reject, arrivedAt } = this.#take(id)
    reject(this.#refusal(reason, arrivedAt))
  }

  #refusal(reason: 'full' | 'draining', arrivedAt: number): GatewayError {
    if (reason === 'draining') return new GatewayError('GW_DRAINING')
    return queueFull(this.#waitState(arrivedAt), this.#core.grant.maxWaiting)
  }

  #refuseOverdue(): void {
    const timeoutMs = this.#poolTimeoutMs
    const now = this.#clock.now()
    for (;;) {
      const oldest = this.#core.oldest
      if (oldest === null || timeoutMs === null || oldest.at + timeoutMs > now) break
      const { reject, arrivedAt } = this.#take(oldest.id)
      reject(poolTimeout(this.#waitState(arrivedAt), timeoutMs))
      this.#core.abort(oldest.id)
    }
    this.#afterChange()
  }

  /** Start of HTTP_POOL_TIMEOUT for a request that begins to wait now. */
  #countedFrom(arrivedAt: number): number {
    if (this.#poolTimeoutMs === null) return arrivedAt
    const waitMs = (this.#options.lendingMs ?? LENDING_MS) - this.#poolTimeoutMs
    return Math.max(arrivedAt, this.#clock.now() + waitMs)
  }

  #waitState(arrivedAt: number): WaitState {
    const { held, waiting, grant, waitsFor } = this.#core
    const now = this.#clock.now()
    return {
      waitsFor,
      budget: grant.budget,
      pace: grant.pace?.limit ?? null,
      inUse: held + grant.elsewhere.leased,
      waiting: waiting + grant.elsewhere.waiting,
      waitedMs: now - arrivedAt,
      retryAfterS: this.#rate.retryAfterS(waiting, now)
    }
  }
}

interface WaitingRequest {
  readonly key: string
  readonly arrivedAt: number
  readonly resolve: (permit: Permit) => void
  readonly reject: (error: Error) => void
  readonly unlisten: () => void
}

/** Least wait, however short HTTP_POOL_TIMEOUT: other workers must be asked for idle permits. */
const LENDING_MS = 100

/** Part of a pause over which waiting requests resume. */
const SPREAD = 0.25
const MAX_SPREAD_MS = 10_000

export interface LeaseOptions {
  readonly send: (report: LeaseReport) => void
  /** Closes idle sockets until at most `max` are open or closing; resolves when all closing sockets are gone. */
  readonly trimSockets: (max: number) => Promise<void>
  readonly onKeepAlive?: (keepAlive: number) => void
  /** Called often while requests lack permits that only requests in flight have. Must not call back at once. */
  readonly onMissing?: (permits: number) => void
  /** `null`: as long as the client waits. */
  readonly poolTimeoutMs: number | null
  readonly maxWaiting: number
  readonly lendingMs?: number
  readonly clock?: Clock
  /** From 0 up to, not including, 1. */
  readonly random?: () => number
}

export interface AcquireOptions {
  /** Short name, never the key itself. */
  readonly key: string
  /** `monotonicNow()`; the wait counts from here. */
  readonly arrivedAt: number
}

interface PermitIssuer {
  onSent(permit: Permit): void
  onAnswered?(): void
  onRelease(permit: Permit): void
}

/** Right to one request in flight; released once, by its holder. */
export class Permit {
  #issuer: PermitIssuer | null

  constructor(issuer: PermitIssuer) {
    this.#issuer = issuer
  }

  sent(): void {
    this.#issuer?.onSent(this)
  }

  /** The client has its answer, although the upstream has not ended. */
  answered(): void {
    this.#issuer?.onAnswered?.()
  }

  /** Later calls do nothing, so `finally` blocks need no guard. */
  release(): void {
    const issuer = this.#issuer
    this.#issuer = null
    issuer?.onRelease(this)
  }
}

function clientClosed(signal: AbortSignal): GatewayError {
  return abortErrorOf(signal, 'while waiting for a connection')
}

import type { LeaseTerms } from '../ipc/lease-messages.ts'
import { GatewayError } from '../shared/errors.ts'
import type { Closable } from '../shared/lifecycle.ts'
import { SYSTEM_CLOCK, type Clock } from './clock.ts'
import { countedFrom } from './counted-from.ts'
import { DeadlineTimer } from './deadline-timer.ts'
import { DrainRate } from './drain-rate.ts'
import type { LeaseCommand } from './lease-command.ts'
import { LeaseCore } from './lease-core.ts'
import { clientClosed, poolStateOf, poolTimeout, queueFull } from './lease-errors.ts'
import type { AcquireOptions, LeaseOptions, LeaseState } from './lease-options.ts'
import { OncePerTurn } from './once-per-turn.ts'
import { Permit } from './permit.ts'
import { WaitingList } from './waiting-list.ts'

/**
 * This worker's share of the connection budget: gives permits, or lets requests wait for one.
 *
 * A permit at hand costs no message to the primary. The decisions are `LeaseCore`'s; here are its
 * promises, its one timer (for the oldest waiter's deadline) and its messages (one per turn of the loop).
 */
export class Lease implements Closable {
  readonly #options: LeaseOptions
  readonly #clock: Clock
  readonly #core: LeaseCore
  readonly #rate = new DrainRate()
  /** Bounded by the queue of the core. */
  readonly #waiters = new WaitingList()
  readonly #deadline: DeadlineTimer
  readonly #report: OncePerTurn
  readonly #onRelease = (): void => this.#release()
  readonly #closed = Promise.withResolvers<void>()
  #lifecycle: 'open' | 'closing' | 'closed' = 'open'
  #poolTimeoutMs: number | null
  #nextId = 0

  constructor(options: LeaseOptions) {
    this.#options = options
    this.#clock = options.clock ?? SYSTEM_CLOCK
    this.#core = new LeaseCore({ maxWaiting: options.maxWaiting })
    this.#poolTimeoutMs = options.poolTimeoutMs
    this.#deadline = new DeadlineTimer(this.#clock, () => this.#refuseOverdue())
    this.#report = new OncePerTurn(this.#clock, () => {
      if (this.#core.isReportDue) options.send(this.#core.takeReport())
    })
  }

  /** Whether a request of this key would be refused at once. */
  isFull(key: string): boolean {
    return this.#core.isFull && this.#core.evictionFor(key) === null
  }

  /**
   * Waits for a permit. Who gets it has to release it.
   *
   * @throws {GatewayError} GW_QUEUE_FULL when too many wait already, at once or when the primary finds so;
   *   GW_POOL_TIMEOUT when HTTP_POOL_TIMEOUT has passed since the arrival and other workers could be asked;
   *   GW_CLIENT_CLOSED when `signal` aborts first; GW_DRAINING after `drain()`.
   */
  acquire({ key, arrivedAt }: AcquireOptions, signal: AbortSignal): Promise<Permit> {
    if (signal.aborted) return Promise.reject(clientClosed(signal))
    const id = this.#nextId++
    const at = countedFrom(arrivedAt, this.#clock.now(), this.#poolTimeoutMs)
    let answer = this.#core.acquire(id, key, at)
    if (answer === 'full' && this.#evictFor(key)) answer = this.#core.acquire(id, key, at)
    if (answer === 'issued') return Promise.resolve(new Permit(this.#onRelease))
    if (answer === 'waiting') return this.#wait(id, arrivedAt, signal)
    return Promise.reject(this.#refusal(answer, arrivedAt))
  }

  onMessage(terms: LeaseTerms): void {
    const before = this.#core.terms.keepAlive
    this.#apply(this.#core.onTerms(terms, this.#clock.now()))
    const { keepAlive } = this.#core.terms
    if (keepAlive < before) this.#options.onKeepAlive?.(keepAlive)
  }

  state(): LeaseState {
    const { size, held, waiting, terms } = this.#core
    return { budget: terms.budget, size, held, waiting, keepAlive: terms.keepAlive }
  }

  /** Takes effect for those who wait already, too. All other limits come from the primary. */
  setLimits(limits: { readonly poolTimeoutMs: number | null }): void {
    this.#poolTimeoutMs = limits.poolTimeoutMs
    this.#refuseOverdue()
  }

  /** Refuses who waits and who comes; permits go back to the primary as they are released. */
  drain(): void {
    this.#apply(this.#core.drain(this.#clock.now()))
  }

  /** Drains; resolves when every permit is back with the primary, and so every socket closed. */
  close(): Promise<void> {
    if (this.#lifecycle === 'open') {
      this.#lifecycle = 'closing'
      this.drain()
    }
    return this.#closed.promise
  }

  /** Fails who waits with `error` and does not wait for permits that are still out. */
  destroy(error: Error): Promise<void> {
    for (const id of this.#waiters.ids) {
      this.#core.abort(id)
      this.#waiters.take(id).reject(error)
    }
    this.drain()
    this.#lifecycle = 'closed'
    this.#closed.resolve()
    return this.#closed.promise
  }

  #release(): void {
    const now = this.#clock.now()
    this.#rate.note(now)
    this.#apply(this.#core.release(now))
  }

  #apply(commands: readonly LeaseCommand[]): void {
    for (const command of commands) {
      switch (command.type) {
        case 'issue':
          this.#waiters.take(command.id).resolve(new Permit(this.#onRelease))
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

  async #trim({ max, permits }: { readonly max: number; readonly permits: number }): Promise<void> {
    await this.#options.trimSockets(max)
    this.#core.trimmed(permits)
    this.#afterChange()
  }

  #afterChange(): void {
    const { oldest } = this.#core
    const timeoutMs = this.#poolTimeoutMs
    this.#deadline.aim(oldest === null || timeoutMs === null ? null : oldest.at + timeoutMs)
    if (this.#lifecycle === 'closing' && this.#core.isEmpty) {
      this.#lifecycle = 'closed'
      this.#closed.resolve()
    }
    if (this.#core.isReportDue) this.#report.ask()
  }

  #wait(id: number, arrivedAt: number, signal: AbortSignal): Promise<Permit> {
    const onAbort = (): void => {
      this.#core.abort(id)
      this.#waiters.take(id).reject(clientClosed(signal))
      this.#afterChange()
    }
    const permit = this.#waiters.add(id, { arrivedAt, signal, onAbort })
    this.#refuseOverdue()
    return permit
  }

  #evictFor(key: string): boolean {
    const id = this.#core.evictionFor(key)
    if (id === null) return false
    this.#core.abort(id)
    this.#refuse(id, 'full')
    return true
  }

  #refuse(id: number, reason: 'full' | 'draining'): void {
    const { reject, arrivedAt } = this.#waiters.take(id)
    reject(this.#refusal(reason, arrivedAt))
  }

  #refusal(reason: 'full' | 'draining', arrivedAt: number): GatewayError {
    if (reason === 'draining') return new GatewayError('GW_DRAINING')
    return queueFull(this.#describe(arrivedAt), this.#core.terms.maxWaiting)
  }

  #refuseOverdue(): void {
    const timeoutMs = this.#poolTimeoutMs
    const now = this.#clock.now()
    for (;;) {
      const oldest = this.#core.oldest
      if (oldest === null || timeoutMs === null || oldest.at + timeoutMs > now) break
      const { reject, arrivedAt } = this.#waiters.take(oldest.id)
      reject(poolTimeout(this.#describe(arrivedAt), timeoutMs))
      this.#core.abort(oldest.id)
    }
    this.#afterChange()
  }

  #describe(arrivedAt: number): ReturnType<typeof poolStateOf> {
    return poolStateOf(this.#core, { arrivedAt, now: this.#clock.now(), rate: this.#rate })
  }
}

import {
  type AllowanceName,
  type AllowanceReport,
  type AllowanceStatus,
  type AllowanceGrant,
  isUsedUp
} from '../ipc/allowance.ts'
import { abortErrorOf, GatewayError } from '../shared/errors.ts'
import { type AllowanceCommand, AllowanceCore } from './allowance-core.ts'
import { type Clock, DeadlineTimer, SYSTEM_CLOCK } from './clock.ts'

/** Age limit of the primary's figures of credits. Many requests share a message. */
const TELL_MS = 200

/** Interval at which unneeded credits are given back: they would be lost with a worker that is killed. */
const TRIM_MS = 700
/** Looks after the last request: only the second interval shows what an idle key needs. */
const TRIMS = 2

/** Limits of named keys as leased to this worker. `AllowanceCore` decides; here are its promises and messages. */
export class Allowances {
  readonly #options: AllowancesOptions
  readonly #clock: Clock
  /** Bounded by the limits that keys have, and the models that are listed. */
  readonly #cores = new Map<AllowanceName, AllowanceCore>()
  /** Bounded by the requests that are under way. */
  readonly #waiters = new Map<number, WaitingRequest>()
  /** Bounded by the cores. */
  readonly #changed = new Set<AllowanceCore>()
  /** Credits of which the primary has older figures. Bounded by the cores. */
  readonly #stale = new Set<AllowanceCore>()
  readonly #tellTimer: DeadlineTimer
  /** Looks to come, by credits that were in use lately. Bounded by the cores. */
  readonly #trims = new Map<AllowanceCore, number>()
  readonly #trimTimer: DeadlineTimer
  #isDraining = false
  #nextId = 0

  constructor(options: AllowancesOptions) {
    this.#options = options
    this.#clock = options.clock ?? SYSTEM_CLOCK
    this.#tellTimer = new DeadlineTimer(this.#clock, () => this.tell())
    this.#trimTimer = new DeadlineTimer(this.#clock, () => this.#trim())
  }

  /**
   * Takes a part, which must be settled. Waits for streams; for what is used up, only until no worker has any left.
   * @throws {GatewayError} the `refusal`; GW_PRIMARY_SILENT; GW_DRAINING; the signal's reason
   */
  take(part: TakeOptions, signal: AbortSignal): Promise<Share> {
    if (signal.aborted) return Promise.reject(clientClosed(signal))
    const core = this.#coreOf(part.name)
    const id = this.#nextId++
    const answer = core.take(id, part.amount, part.arrivedAt)
    this.#after(core)
    if (answer === 'waiting') return this.#wait(core, id, part, signal)
    return Promise.resolve(this.#share(core, id, part.amount))
  }

  onGrants(all: readonly AllowanceGrant[]): void {
    for (const grant of all) {
      const core = this.#coreOf(grant.name)
      this.#apply(core, core.onGrant(grant))
    }
  }

  tell(): void {
    this.#tellTimer.aim(null)
    if (this.#options.silence().aborted) return // unread at the moment; the next rows report it
    const stale = [...this.#stale].filter(({ isStale }) => isStale)
    this.#stale.clear()
    if (stale.length > 0) this.#options.send(stale.map((core) => core.takeReport()))
  }

  giveBack(): void {
    this.#tellTimer.aim(null)
    this.#trimTimer.aim(null)
    const cores = [...this.#cores.values()]
    for (const core of cores) core.giveBack()
    if (cores.length > 0) this.#options.send(cores.map((core) => core.takeReport()))
  }

  statusOf(name: AllowanceName): AllowanceStatus | null {
    return this.#cores.get(name)?.status ?? null
  }

  waitingFor(name: AllowanceName): number {
    return this.#cores.get(name)?.waiting ?? 0
  }

  drain(): void {
    this.#isDraining = true
    for (const [id, { core, reject, unlisten }] of this.#waiters) {
      unlisten()
      reject(new GatewayError('GW_DRAINING'))
      this.#apply(core, core.leave(id))
    }
  }

  #trim(): void {
    const now = this.#clock.now()
    const due = [...this.#trims.keys()].filter((core) => core.trim(now))
    for (const [core, looks] of this.#trims) {
      if (looks > 1) this.#trims.set(core, looks - 1)
      else this.#trims.delete(core)
    }
    if (due.length > 0) this.#options.send(due.map((core) => core.takeReport()))
    if (this.#trims.size > 0) this.#trimTimer.aim(now + TRIM_MS)
  }

  #coreOf(name: AllowanceName): AllowanceCore {
    const known = this.#cores.get(name)
    if (known !== undefined) return known
    const core = new AllowanceCore(name)
    this.#cores.set(name, core)
    return core
  }

  #share(core: AllowanceCore, id: number, amount: number): Share {
    return new Share(amount, core.period, (cost) => this.#apply(core, core.settle(id, cost)))
  }

  #wait(core: AllowanceCore, id: number, part: TakeOptions, signal: AbortSignal): Promise<Share> {
    const { promise, resolve, reject } = Promise.withResolvers<Share>()
    // Streams also come free in this worker; the rest only the primary has.
    const silence = isUsedUp(core.name) ? this.#options.silence() : null
    const leave = (error: unknown): void => {
      unlisten()
      reject(error)
      this.#apply(core, core.leave(id))
    }
    const onAbort = (): void => leave(clientClosed(signal))
    const onSilence = (): void => leave(silence?.reason)
    const unlisten = (): void => {
      this.#waiters.delete(id)
      signal.removeEventListener('abort', onAbort)
      silence?.removeEventListener('abort', onSilence)
    }
    signal.addEventListener('abort', onAbort, { once: true })
    silence?.addEventListener('abort', onSilence, { once: true })
    this.#waiters.set(id, { ...part, core, resolve, reject, unlisten })
    if (this.#isDraining) leave(new GatewayError('GW_DRAINING'))
    else if (silence?.aborted === true) onSilence()
    return promise
  }

  #apply(core: AllowanceCore, commands: readonly AllowanceCommand[]): void {
    for (const { type, id } of commands) {
      const waiter = this.#waiters.get(id)
      if (waiter === undefined) throw new Error(`request ${id} does not wait`)
      waiter.unlisten()
      if (type === 'give') waiter.resolve(this.#share(core, id, waiter.amount))
      else waiter.reject(waiter.refusal(core.status))
    }
    this.#after(core)
  }

  #after(core: AllowanceCore): void {
    if (core.name.endsWith('/credits')) {
      const now = this.#clock.now()
      this.#trims.set(core, TRIMS)
      this.#trimTimer.aim(now + TRIM_MS)
      if (core.isStale) {
        this.#stale.add(core)
        this.#tellTimer.aim(now + TELL_MS)
      }
    }
    if (!core.isReportDue) return
    const isFirst = this.#changed.size === 0
    this.#changed.add(core)
    if (!isFirst) return
    this.#clock.setImmediate(() => {
      const due = [...this.#changed].filter(({ isReportDue }) => isReportDue)
      this.#changed.clear()
      if (due.length > 0) this.#options.send(due.map((one) => one.takeReport()))
    })
  }
}

export interface AllowancesOptions {
  /** Called at most once per turn of the event loop. */
  readonly send: (reports: readonly AllowanceReport[]) => void
  readonly silence: () => AbortSignal
  readonly clock?: Clock
}

export interface TakeOptions {
  readonly name: AllowanceName
  readonly amount: number
  /** `monotonicNow()`; the earliest goes first. */
  readonly arrivedAt: number
  readonly refusal: (status: AllowanceStatus) => GatewayError
}

interface WaitingRequest extends TakeOptions {
  readonly core: AllowanceCore
  readonly resolve: (share: Share) => void
  readonly reject: (error: unknown) => void
  readonly unlisten: () => void
}

/** Part held by one request, which must settle it once. */
export class Share {
  readonly amount: number
  readonly period: number
  readonly #onSettled: (cost: number) => void
  #isSettled = false

  constructor(amount: number, period: number, onSettled: (cost: number) => void) {
    this.amount = amount
    this.period = period
    this.#onSettled = onSettled
  }

  /** Charges the cost, which may exceed the reservation, and returns the rest. Later calls do nothing. */
  settle(cost: number): void {
    if (this.#isSettled) return
    this.#isSettled = true
    this.#onSettled(cost)
  }
}

function clientClosed(signal: AbortSignal): GatewayError {
  return abortErrorOf(signal, 'while waiting for a share of its key limit')
}

import { setTimeout as delay } from 'node:timers/promises'
import type { ClusterStatus } from '../../ipc/messages.ts'
import type { Logger } from '../../observe/logger.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import type { WorkerChannel } from './worker-channel.ts'
import {
  type BackoffPolicy,
  isCrashLooping,
  nextSlotState,
  type SlotEvent,
  type SlotState
} from './worker-slot.ts'

interface Slot {
  readonly id: number
  state: SlotState
  worker: WorkerProcess | null
  /** Starting while `worker` serves. */
  successor: WorkerProcess | null
  replacement: PromiseWithResolvers<Replacement> | null
  timer: NodeJS.Timeout | null
}

/** Replaces dead workers with doubling delay. The first is short: a single crash should cost only its streams. */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #backoff: BackoffPolicy
  readonly #slots: readonly Slot[]
  /** Workers with a successor. Bounded by one for each slot and restart, killed when its patience is over. */
  readonly #leaving = new Map<WorkerProcess, { readonly timer: NodeJS.Timeout; onGone(): void }>()
  #isEnding = false
  readonly #allStopped = Promise.withResolvers<void>()

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#backoff = options.backoff ?? { firstMs: 50, maxMs: 30_000 }
    this.#slots = Array.from({ length: options.slots }, (_, index) => ({
      id: index + 1,
      state: { name: 'empty' },
      worker: null,
      successor: null,
      replacement: null,
      timer: null
    }))
  }

  start(): void {
    for (const slot of this.#slots) this.#on(slot, 'start', null)
  }

  states(): readonly {
    readonly id: number
    readonly pid: number | null
    readonly state: SlotState
  }[] {
    return this.#slots.map(({ id, worker, state }) => ({ id, pid: worker?.pid ?? null, state }))
  }

  areAllReady(): boolean {
    return this.#slots.every(({ state }) => state.name === 'ready')
  }

  leavingPids(): readonly number[] {
    return [...this.#leaving.keys()].map(({ pid }) => pid)
  }

  /** For `/readyz`. `isSilent` recognises workers that seem to hang. */
  status(isSilent: (pid: number | null) => boolean): ClusterStatus {
    return {
      workers: this.states().map(({ id, pid, state }) => {
        return { id, state: isSilent(pid) ? 'silent' : state.name }
      }),
      isCrashLooping: this.#slots.some((slot) => isCrashLooping(slot.state)),
      isEnding: this.#isEnding
    }
  }

  /** Replaces a slot's worker without interruption; resolves when the old one is gone. */
  replace(id: number): Promise<Replacement> {
    const slot = this.#slots.find((one) => one.id === id)
    if (slot === undefined) throw new Error(`there is no slot ${id}`)
    if (slot.replacement !== null) return slot.replacement.promise
    const { name } = slot.state
    if (name === 'draining' || name === 'stopped') return Promise.resolve({ name: 'drained' })
    if (name !== 'ready') return Promise.resolve({ name: 'replaced' })
    slot.replacement = Promise.withResolvers()
    const { promise } = slot.replacement
    this.#on(slot, 'replace', null)
    return promise
  }

  async announceEnd(delayMs: number, onChange: () => void): Promise<void> {
    if (delayMs === 0) return
    this.#isEnding = true
    onChange()
    await delay(delayMs)
  }

  drain(): Promise<void> {
    for (const worker of this.#leaving.keys()) worker.drain()
    for (const slot of this.#slots) this.#on(slot, 'drain', null)
    return this.#allStopped.promise
  }

  killStuck(log: Pick<Logger, 'error'>): void {
    const left = this.states().filter(({ state }) => state.name === 'draining')
    const workers = left.map(({ id, pid }) => ({ workerId: id, workerPid: pid }))
    const leavingPids = this.leavingPids()
    log.error({ workers, leavingPids }, 'workers did not exit in time and are killed')
    this.destroy()
  }

  destroy(): void {
    void this.drain() // so that no slot is filled again and callers of drain() learn of the end
    for (const { worker } of this.#slots) worker?.kill()
    for (const worker of this.#leaving.keys()) worker.kill()
  }

  #on(slot: Slot, event: SlotEvent, reason: string | null): void {
    const state = nextSlotState(slot.state, event, this.#backoff)
    if (state === slot.state) return
    slot.state = state
    this.#enter(slot)
    this.#options.onChange({ id: slot.id, pid: slot.worker?.pid ?? null, state, reason })
    this.#settleReplacement(slot, event, reason)
    this.#resolveIfStopped()
  }

  #enter(slot: Slot): void {
    const { state } = slot
    this.#clearTimer(slot)
    switch (state.name) {
      case 'starting':
        slot.worker ??= this.#fork(slot)
        break
      case 'backoff':
        this.#after(slot, state.delayMs, () => this.#on(slot, 'retry', null))
        break
      case 'ready':
        if (state.failures === 0) break
        this.#after(slot, this.#options.settleMs ?? 30_000, () => this.#on(slot, 'settled', null))
        break
      case 'replacing':
        slot.successor = this.#fork(slot)
        this.#after(slot, this.#options.startTimeoutMs ?? 30_000, () => slot.successor?.kill())
        break
      case 'draining':
        slot.worker?.drain()
        this.#letGo(slot.successor, () => {})?.drain()
        slot.successor = null
        break
      case 'empty':
      case 'stopped':
        break
    }
  }

  #fork(slot: Slot): WorkerProcess {
    const worker = this.#options.fork(slot.id, {
      onReady: () => this.#onReady(slot, worker),
      onExit: (reason) => this.#onExit(slot, worker, reason)
    })
    return worker
  }

  #onReady(slot: Slot, worker: WorkerProcess): void {
    if (slot.worker === worker) this.#on(slot, 'ready', null)
    if (slot.successor !== worker) return // it is leaving already
    const { worker: predecessor, replacement } = slot
    slot.worker = worker
    slot.successor = null
    const onGone = (): void => {
      if (slot.replacement === replacement) this.#replaced(slot, { name: 'replaced' })
    }
    this.#letGo(predecessor, onGone)?.retire()
    this.#on(slot, 'successor ready', null)
  }

  #onExit(slot: Slot, worker: WorkerProcess, reason: string): void {
    if (slot.worker === worker) {
      slot.worker = slot.successor
      slot.successor = null
      this.#on(slot, 'exit', reason)
    } else if (slot.successor === worker) {
      slot.successor = null
      this.#on(slot, 'successor exit', reason)
    } else {
      const leaving = this.#leaving.get(worker)
      if (leaving === undefined) return
      this.#leaving.delete(worker)
      clearTimeout(leaving.timer)
      leaving.onGone()
      this.#resolveIfStopped()
    }
  }

  #settleReplacement(slot: Slot, event: SlotEvent, reason: string | null): void {
    if (event === 'drain') this.#replaced(slot, { name: 'drained' })
    // The old one died early: the replacement succeeds only once the new one serves.
    if (event === 'ready') this.#replaced(slot, { name: 'replaced' })
    if (event === 'successor exit') this.#replaced(slot, { name: 'failed', reason })
    if (slot.state.name === 'backoff') this.#replaced(slot, { name: 'failed', reason })
  }

  #replaced(slot: Slot, outcome: Replacement): void {
    slot.replacement?.resolve(outcome)
    slot.replacement = null
  }

  #letGo(worker: WorkerProcess | null, onGone: () => void): WorkerProcess | null {
    if (worker === null) return null
    const timer = setTimeout(() => worker.kill(), this.#options.retireTimeoutMs())
    this.#leaving.set(worker, { timer, onGone })
    return worker
  }

  #resolveIfStopped(): void {
    const areStopped = this.#slots.every(({ state }) => state.name === 'stopped')
    if (areStopped && this.#leaving.size === 0) this.#allStopped.resolve()
  }

  #after(slot: Slot, delayMs: number, act: () => void): void {
    slot.timer = setTimeout(act, delayMs)
  }

  #clearTimer(slot: Slot): void {
    if (slot.timer !== null) clearTimeout(slot.timer)
    slot.timer = null
  }
}

export type WorkerProcess = Pick<WorkerChannel, 'pid' | 'retire' | 'drain' | 'kill'>

/** `onExit` is called exactly once, and last. */
export interface WorkerEvents {
  onReady(): void
  onExit(reason: string): void
}

export interface SupervisorOptions {
  readonly slots: number
  readonly fork: (id: number, events: WorkerEvents) => WorkerProcess
  readonly onChange: (change: SlotChange) => void
  readonly backoff?: BackoffPolicy
  readonly settleMs?: number
  readonly startTimeoutMs?: number
  /** Longest time to leave for a successor; read when it begins. */
  readonly retireTimeoutMs: () => number
}

export interface SlotChange {
  readonly id: number
  readonly pid: number | null
  readonly state: SlotState
  readonly reason: string | null
}

export function hasDied({ state, reason }: SlotChange): boolean {
  return reason !== null && state.name !== 'stopped' && state.name !== 'ready'
}

export function logSlotChange(log: Pick<Logger, 'info' | 'error'>, change: SlotChange): void {
  const { id: workerId, pid: workerPid, state, reason } = change
  const facts = { workerId, workerPid, state: state.name }
  if (hasDied(change)) log.error({ ...facts, reason, ...state }, 'worker died')
  else if (state.name === 'ready' && reason !== null) {
    log.error({ workerId, reason }, 'the new worker died during start-up, the old one stays')
  } else log.info(facts, 'worker changed state')
}

/** `drained`: the slot is not to be filled any more. */
export type Replacement =
  | { readonly name: 'replaced' | 'drained' }
  | { readonly name: 'failed'; readonly reason: string | null }

/** Replaces workers one by one; stops at the first that does not become ready: its cause would kill the next. */
export function rollingRestart(
  supervisor: Pick<Supervisor, 'states' | 'replace'>,
  log: Pick<Logger, 'info' | 'error'>
): () => Promise<void> {
  const replaceOnce = singleFlight(() => replaceAll(supervisor, log))
  return () => {
    if (replaceOnce.running !== null) log.info('a rolling restart is already running')
    return replaceOnce()
  }
}

async function replaceAll(
  supervisor: Pick<Supervisor, 'states' | 'replace'>,
  log: Pick<Logger, 'info' | 'error'>
): Promise<void> {
  log.info('rolling restart started')
  for (const { id: worker } of supervisor.states()) {
    const outcome = await supervisor.replace(worker)
    if (outcome.name === 'drained')
      return log.info('rolling restart stopped: the gateway is shutting down')
    if (outcome.name === 'failed') {
      const { reason } = outcome
      log.error({ worker, reason }, 'rolling restart stopped: the new worker did not start')
      return
    }
    log.info({ worker }, 'worker replaced')
  }
  log.info('rolling restart complete')
}

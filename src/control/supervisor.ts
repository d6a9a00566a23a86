import { type BackoffPolicy, isCrashLooping, nextSlotState } from './worker-slot.ts'
import type { SlotEvent, SlotState } from './worker-slot.ts'

/** One worker process, as far as the supervisor is concerned. */
export interface WorkerProcess {
  readonly pid: number
  /** Asks it to accept nothing new, finish what runs and exit. */
  drain(): void
  /** Ends it now (SIGKILL). */
  kill(): void
}

/** What a fork tells its supervisor. `onExit` is called exactly once, and last. */
export interface WorkerEvents {
  onReady(): void
  onExit(reason: string): void
}

export interface SupervisorOptions {
  readonly slots: number
  readonly fork: (id: number, events: WorkerEvents) => WorkerProcess
  readonly onChange: (change: SlotChange) => void
  readonly backoff?: BackoffPolicy
  /** How long a worker must have served before its earlier deaths are forgotten. */
  readonly settleMs?: number
}

export interface SlotChange {
  readonly id: number
  readonly pid: number | null
  readonly state: SlotState
  /** Why the worker is gone, when it is. */
  readonly reason: string | null
}

interface Slot {
  readonly id: number
  state: SlotState
  worker: WorkerProcess | null
  timer: NodeJS.Timeout | null
}

/**
 * Keeps every slot filled: replaces workers that die, with doubling delay, until it is told to drain.
 * The first delay is short, since a lone crash should cost its own streams and nothing else.
 */
export class Supervisor {
  readonly #options: SupervisorOptions
  readonly #backoff: BackoffPolicy
  readonly #slots: readonly Slot[]
  readonly #allStopped = Promise.withResolvers<void>()

  constructor(options: SupervisorOptions) {
    this.#options = options
    this.#backoff = options.backoff ?? { firstMs: 50, maxMs: 30_000 }
    this.#slots = Array.from({ length: options.slots }, (_, index) => ({
      id: index + 1,
      state: { name: 'starting', failures: 0 },
      worker: null,
      timer: null
    }))
  }

  start(): void {
    for (const slot of this.#slots) this.#fork(slot)
  }

  states(): readonly {
    readonly id: number
    readonly pid: number | null
    readonly state: SlotState
  }[] {
    return this.#slots.map(({ id, worker, state }) => ({ id, pid: worker?.pid ?? null, state }))
  }

  isCrashLooping(): boolean {
    return this.#slots.some((slot) => isCrashLooping(slot.state))
  }

  /** Resolves when every worker has exited by itself. */
  drain(): Promise<void> {
    for (const slot of this.#slots) this.#on(slot, 'drain', null)
    return this.#allStopped.promise
  }

  /** Kills what is left; nobody is replaced. */
  destroy(): void {
    void this.drain() // no slot may want to be filled again; whoever waits for the end hears of it
    for (const { worker } of this.#slots) worker?.kill()
  }

  #on(slot: Slot, event: SlotEvent, reason: string | null): void {
    const state = nextSlotState(slot.state, event, this.#backoff)
    if (state === slot.state) return
    slot.state = state
    this.#enter(slot)
    this.#options.onChange({ id: slot.id, pid: slot.worker?.pid ?? null, state, reason })
    if (this.#slots.every((each) => each.state.name === 'stopped')) this.#allStopped.resolve()
  }

  /** Does what the state that was just entered asks for. */
  #enter(slot: Slot): void {
    const { state } = slot
    this.#clearTimer(slot)
    switch (state.name) {
      case 'starting':
        this.#fork(slot)
        break
      case 'backoff':
        slot.timer = setTimeout(() => this.#on(slot, 'retry', null), state.delayMs)
        break
      case 'ready':
        if (state.failures > 0) {
          const { settleMs = 30_000 } = this.#options
          slot.timer = setTimeout(() => this.#on(slot, 'settled', null), settleMs)
        }
        break
      case 'draining':
        slot.worker?.drain()
        break
      case 'stopped':
        break
    }
  }

  #fork(slot: Slot): void {
    slot.worker = this.#options.fork(slot.id, {
      onReady: () => this.#on(slot, 'ready', null),
      onExit: (reason) => {
        slot.worker = null
        this.#on(slot, 'exit', reason)
      }
    })
  }

  #clearTimer(slot: Slot): void {
    if (slot.timer !== null) clearTimeout(slot.timer)
    slot.timer = null
  }
}

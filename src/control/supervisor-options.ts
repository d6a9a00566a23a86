import type { BackoffPolicy, SlotState } from './worker-slot.ts'

/** One worker process, as far as the supervisor is concerned. */
export interface WorkerProcess {
  readonly pid: number
  /** Asks it to take no new clients, serve those it has, and exit when they have left or its time is up. */
  retire(): void
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
  /** How long a successor may take until it serves. */
  readonly startTimeoutMs?: number
  /** How long a worker may take to leave for its successor, asked when it begins. */
  readonly retireTimeoutMs: () => number
}

export interface SlotChange {
  readonly id: number
  readonly pid: number | null
  readonly state: SlotState
  /** Why a worker of the slot is gone, when one is. */
  readonly reason: string | null
}

/** How the attempt to replace a worker ended. `drained`: the slot is not to be filled any more. */
export type Replacement =
  | { readonly name: 'replaced' | 'drained' }
  | { readonly name: 'failed'; readonly reason: string | null }

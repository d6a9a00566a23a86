import type { LeaseReport } from '../ipc/lease-messages.ts'
import type { Clock } from './clock.ts'

export interface LeaseOptions {
  /** Hands a report to the primary. Called at most once per turn of the event loop. */
  readonly send: (report: LeaseReport) => void
  /**
   * Closes idle sockets at once until at most `max` are open or closing, and resolves when those it had to
   * close, and those that were closing already, are really gone.
   */
  readonly trimSockets: (max: number) => Promise<void>
  /** Called when fewer connections than before may sit idle. */
  readonly onKeepAlive?: (keepAlive: number) => void
  /** `null`: as long as the client waits. */
  readonly poolTimeoutMs: number | null
  /** How many may wait until the primary has said how many. */
  readonly maxWaiting: number
  readonly clock?: Clock
}

export interface AcquireOptions {
  /** Whose request it is: a short name of the client key, never the key itself. */
  readonly key: string
  /** `monotonicNow()` of the request's arrival; the wait is counted from here. */
  readonly arrivedAt: number
}

export interface LeaseState {
  /** `null` without limit. */
  readonly budget: number | null
  readonly size: number
  readonly held: number
  readonly waiting: number
  readonly keepAlive: number
}

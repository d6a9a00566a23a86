import type { MetricsSnapshot } from '../observe/snapshots.ts'

/** Metrics shown by pages. Collecting all metrics each second would take ten times as long. */
export const SHOWN_METRICS: readonly string[] = [
  'kiro_gateway_requests_total',
  'kiro_gateway_requests_in_flight',
  'kiro_gateway_tokens_total',
  'kiro_gateway_credits_total',
  'kiro_gateway_upstream_connections',
  'kiro_gateway_worker_upstream_connections',
  'kiro_gateway_pool_permits_in_use',
  'kiro_gateway_pool_waiters',
  'kiro_gateway_pool_longest_wait_seconds',
  'kiro_gateway_gated_requests',
  'kiro_gateway_key_requests_total',
  'kiro_gateway_key_tokens_total',
  'kiro_gateway_key_credits_total',
  'kiro_gateway_key_streams',
  'kiro_gateway_key_waiting',
  'kiro_gateway_worker_restarts_total',
  'kiro_gateway_event_loop_delay_seconds',
  'process_cpu_seconds_total',
  'process_resident_memory_bytes'
]

/** A turn under way. */
export interface RunningTurn {
  readonly id: string
  /** Epoch ms of its arrival. */
  readonly at: number
  /** Name of a named key, else `operator`, `kiro` or `anyone`. */
  readonly key: string
  readonly client: string
  /** Empty while it is not known. */
  readonly model: string
  /** `asking`: the upstream has the request and has not answered yet. */
  readonly step: 'reading' | 'waiting' | 'asking' | 'answering'
}

/** Limit for each worker, which names its oldest. */
export const MAX_SHOWN_TURNS = 20

/** Worker → primary. */
export type DashboardWish =
  /** Asks to open pages; answered by `opened`, with as many as there is room for. */
  | { readonly name: 'open'; readonly requestId: number; readonly pages: number }
  | { readonly name: 'left'; readonly pages: number }
  /** The worker's SHOWN_METRICS; answers `look`, and `events` that ask for it with `requestId` 0. */
  | {
      readonly name: 'seen'
      readonly requestId: number
      readonly metrics: MetricsSnapshot
      readonly running: readonly RunningTurn[]
    }

/** Primary → worker. `events` are server-sent events as text. */
export type DashboardNews =
  | {
      readonly name: 'opened'
      readonly requestId: number
      readonly pages: number
      readonly events: string
    }
  /** Answered by `seen`, after everything that happened before. */
  | { readonly name: 'look'; readonly requestId: number }
  /** `lookInMs`: time until the worker is to tell `seen`, so that the next events need no `look`. */
  | { readonly name: 'events'; readonly events: string; readonly lookInMs?: number }

/** A session whose user has signed out before it expired. */
export interface EndedSession {
  readonly id: string
  /** Epoch ms. */
  readonly expiresAt: number
}

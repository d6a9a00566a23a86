import type { MetricsSnapshot } from '../observe/snapshots.ts'

/** The metrics that pages show, of all processes. All of them would take ten times as long, each second. */
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
  'kiro_gateway_worker_stalls_total',
  'kiro_gateway_event_loop_delay_seconds',
  'process_cpu_seconds_total',
  'process_resident_memory_bytes'
]

/**
 * Request of a worker about the dashboard, of which the primary has the figures and counts what all workers do
 * together.
 */
export type DashboardWish =
  /** Number of pages to keep up to date; answered by `opened`. */
  | { readonly name: 'open'; readonly requestId: number; readonly pages: number }
  /** Number of pages that closed. */
  | { readonly name: 'left'; readonly pages: number }
  /** Sign-in attempt from this address; answered by `may-try`. */
  | { readonly name: 'try'; readonly requestId: number; readonly address: string }
  /** They have given an operator's key. */
  | { readonly name: 'signed-in'; readonly address: string }
  /** Figures of the worker now, by SHOWN_METRICS; its answer to `look`. */
  | { readonly name: 'seen'; readonly requestId: number; readonly metrics: MetricsSnapshot }

/** Message of the primary about it. `events` are server-sent events, written out. */
export type DashboardNews =
  /** Number of pages that may stay; they begin with these events, and the rest is refused. */
  | {
      readonly name: 'opened'
      readonly requestId: number
      readonly pages: number
      readonly events: string
    }
  /** Wants to know how the worker stands; answered by `seen`, after what has happened before. */
  | { readonly name: 'look'; readonly requestId: number }
  /** For all pages of this worker. */
  | { readonly name: 'events'; readonly events: string }
  /** 0: they may; else the time for which that address may not. */
  | { readonly name: 'may-try'; readonly requestId: number; readonly waitMs: number }

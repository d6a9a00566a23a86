import type { Metrics } from '../../observe/metrics.ts'
import type { ConnectionPool, PoolStats } from './pool.ts'

export interface PoolMetricsOptions {
  readonly pool: Pick<ConnectionPool, 'stats'>
  readonly metrics: Metrics
  /** The worker's slot, or `control` for the primary. */
  readonly owner: string
}

export class PoolMetrics {
  readonly #options: PoolMetricsOptions
  #told: PoolStats

  constructor(options: PoolMetricsOptions) {
    this.#options = options
    this.#told = options.pool.stats()
  }

  note(): void {
    const { metrics, pool, owner: worker } = this.#options
    const now = pool.stats()
    const { busy: active, idle, connecting, closing } = now
    for (const [state, count] of Object.entries({ active, idle, connecting, closing })) {
      metrics.upstreamConnections.set({ state }, count)
      metrics.workerConnections.set({ worker, state }, count)
    }
    metrics.openConnections.set({ http_connection_state: 'active' }, active)
    metrics.openConnections.set({ http_connection_state: 'idle' }, idle)
    metrics.connectionReuse.inc(now.reused - this.#told.reused)
    for (const [reason, count] of added(this.#told.openedFor, now.openedFor))
      metrics.connectionsOpened.inc({ reason }, count)
    for (const [reason, count] of added(this.#told.closed, now.closed))
      metrics.connectionsClosed.inc({ reason }, count)
    this.#told = now
  }
}

type Counts = Readonly<Record<string, number>>

function* added(before: Counts, now: Counts): Generator<readonly [string, number]> {
  for (const [name, count] of Object.entries(now)) yield [name, count - (before[name] ?? 0)]
}

import type { Metrics } from '../../observe/metrics.ts'
import type { ConnectionPool, PoolStats } from './pool.ts'

/**
 * Returns a function that notes what the pool has, and what has come since the last call. `worker`: its slot, or
 * `control` for the primary.
 */
export function poolMeter(
  pool: Pick<ConnectionPool, 'stats'>,
  metrics: Metrics,
  worker: string
): () => void {
  let told: PoolStats = pool.stats()
  return () => {
    const now = pool.stats()
    const { busy: active, idle, connecting, closing } = now
    for (const [state, count] of Object.entries({ active, idle, connecting, closing })) {
      metrics.upstreamConnections.set({ state }, count)
      metrics.workerConnections.set({ worker, state }, count)
    }
    metrics.openConnections.set({ http_connection_state: 'active' }, active)
    metrics.openConnections.set({ http_connection_state: 'idle' }, idle)
    metrics.connectionReuse.inc(now.reused - told.reused)
    for (const [reason, count] of added(told.openedFor, now.openedFor))
      metrics.connectionsOpened.inc({ reason }, count)
    for (const [reason, count] of added(told.closed, now.closed))
      metrics.connectionsClosed.inc({ reason }, count)
    told = now
  }
}

type Counts = Readonly<Record<string, number>>

function* added(before: Counts, now: Counts): Generator<readonly [string, number]> {
  for (const [name, count] of Object.entries(now)) yield [name, count - (before[name] ?? 0)]
}

import t from 'tap'
import { Metrics } from '../../../src/observe/metrics.ts'
import { toPrometheusText } from '../../../src/observe/snapshots.ts'
import { poolMeter } from '../../../src/upstream/connections/pool-metrics.ts'
import type { PoolStats } from '../../../src/upstream/connections/pool.ts'

const nothing: PoolStats = {
  busy: 0,
  idle: 0,
  connecting: 0,
  closing: 0,
  opened: 0,
  openedFor: {},
  reused: 0,
  closed: {}
}

t.test('poolMeter() adds what has come since it looked last', async (t) => {
  const metrics = new Metrics()
  t.teardown(() => metrics.close())
  let stats: PoolStats = { ...nothing, openedFor: { first: 7 }, closed: { error: 3 } }
  const note = poolMeter({ stats: () => stats }, metrics, '2')
  stats = {
    ...nothing,
    busy: 2,
    idle: 1,
    openedFor: { first: 8, all_busy: 2 },
    reused: 5,
    closed: { error: 3, peer_fin: 4 }
  }
  note()
  note()
  const text = await toPrometheusText([await metrics.snapshot()])
  for (const line of [
    'upstream_connections{state="active"} 2',
    'upstream_connections{state="connecting"} 0',
    'worker_upstream_connections{worker="2",state="idle"} 1',
    'upstream_connections_opened_total{reason="first"} 1',
    'upstream_connections_opened_total{reason="all_busy"} 2',
    'upstream_connections_closed_total{reason="error"} 0',
    'upstream_connections_closed_total{reason="peer_fin"} 4',
    'connection_reuse_total 5'
  ])
    t.match(text, `kiro_gateway_${line}\n`)
  t.match(text, 'http_client_open_connections{http_connection_state="active"} 2\n')
})

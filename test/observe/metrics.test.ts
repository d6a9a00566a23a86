import t, { type Test } from 'tap'
import { Metrics } from '../../src/observe/metrics.ts'
import {
  mergeSnapshots,
  PROMETHEUS_CONTENT_TYPE,
  toPrometheusText,
  withoutGauges
} from '../../src/observe/snapshots.ts'

/** The samples of a text in Prometheus' format. */
function samplesOf(text: string): ReadonlyMap<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => [line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1))])
  )
}

/** Two processes that both did something. */
function twoProcesses(t: Test) {
  const processes = [new Metrics(), new Metrics()] as const
  t.teardown(() => {
    for (const metrics of processes) metrics.close()
  })
  const [one, two] = processes
  one.requests.inc({ route: '/v1/messages', status: '200', code: '' }, 2)
  two.requests.inc({ route: '/v1/messages', status: '200', code: '' }, 3)
  one.waiters.set(4)
  two.waiters.set(1)
  one.permitsLeased.set({ worker: '1' }, 150)
  two.permitsLeased.set({ worker: '2' }, 149)
  one.waitSeconds.observe(0.003)
  two.waitSeconds.observe(400)
  two.upstreamConnections.set({ state: 'idle' }, 7)
  return processes
}

t.test('Metrics', (t) => {
  t.test('keeps two gateways in one process apart', async (t) => {
    const [one, two] = twoProcesses(t)
    const first = samplesOf(await toPrometheusText([await one.snapshot()]))
    const second = samplesOf(await toPrometheusText([await two.snapshot()]))
    t.equal(first.get('kiro_gateway_pool_waiters'), 4)
    t.equal(second.get('kiro_gateway_pool_waiters'), 1)
  })

  t.test('has the pool metrics under their documented names', async (t) => {
    const metrics = new Metrics()
    t.teardown(() => metrics.close())
    const text = await toPrometheusText([await metrics.snapshot()])
    for (const name of [
      'upstream_connections',
      'upstream_connection_budget',
      'pool_permits_leased',
      'pool_waiters',
      'pool_wait_seconds',
      'upstream_connections_opened_total',
      'upstream_connections_closed_total',
      'connection_reuse_total',
      'worker_restarts_total',
      'event_loop_delay_seconds',
      'admitted_bytes',
      'worker_permits_in_use',
      'worker_pool_waiters',
      'worker_upstream_connections'
    ]) {
      t.match(text, `# TYPE kiro_gateway_${name} `)
    }
    t.match(text, '# TYPE http_client_open_connections gauge')
    t.match(text, '# TYPE http_client_connection_duration_seconds histogram')
  })

  t.end()
})

t.test('merging snapshots', (t) => {
  t.test('adds up counters, gauges and histograms, each label for itself', async (t) => {
    const [one, two] = twoProcesses(t)
    // Through JSON, as IPC does.
    const snapshots = JSON.parse(JSON.stringify([await one.snapshot(), await two.snapshot()]))
    const samples = samplesOf(await toPrometheusText(snapshots))
    const requests = 'kiro_gateway_requests_total{route="/v1/messages",status="200",code=""}'
    t.equal(samples.get(requests), 5)
    t.equal(samples.get('kiro_gateway_pool_waiters'), 5)
    t.equal(samples.get('kiro_gateway_pool_permits_leased{worker="1"}'), 150)
    t.equal(samples.get('kiro_gateway_pool_permits_leased{worker="2"}'), 149)
    t.equal(samples.get('kiro_gateway_upstream_connections{state="idle"}'), 7)
    t.equal(samples.get('kiro_gateway_pool_wait_seconds_count'), 2)
    t.equal(samples.get('kiro_gateway_pool_wait_seconds_bucket{le="0.005"}'), 1)
    t.equal(samples.get('kiro_gateway_pool_wait_seconds_bucket{le="+Inf"}'), 2)
    t.match(PROMETHEUS_CONTENT_TYPE, 'text/plain')
  })

  t.test('changes nothing in what it merges and may be merged again', async (t) => {
    const [one, two] = twoProcesses(t)
    const snapshots = [await one.snapshot(), await two.snapshot()]
    const before = JSON.stringify(snapshots)
    const once = await mergeSnapshots(snapshots)
    t.equal(JSON.stringify(snapshots), before)
    const twice = samplesOf(await toPrometheusText([once, once]))
    t.equal(twice.get('kiro_gateway_pool_waiters'), 10)
  })

  t.test('is empty without snapshots', async (t) => {
    t.same(await mergeSnapshots([]), [])
  })

  t.test('keeps the counts of a worker that is gone, and nothing that it held', async (t) => {
    const [one, two] = twoProcesses(t)
    const gone = withoutGauges(await one.snapshot())
    const samples = samplesOf(await toPrometheusText([gone, await two.snapshot()]))
    t.equal(samples.get('kiro_gateway_pool_waiters'), 1)
    t.notOk(samples.has('kiro_gateway_pool_permits_leased{worker="1"}'))
    t.equal(samples.get('kiro_gateway_pool_wait_seconds_count'), 2)
  })
  t.end()
})

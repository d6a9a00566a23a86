import t, { type Test } from 'tap'
import { ClusterMetrics } from '../../src/control/cluster-metrics.ts'
import { Metrics } from '../../src/observe/metrics.ts'

function processMetrics(t: Test): Metrics {
  const metrics = new Metrics()
  t.teardown(() => metrics.close())
  return metrics
}

function valueOf(text: string, name: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  return Number(line?.slice(name.length + 1))
}

t.test('sums what all processes count, and keeps the counts of those that are gone', async (t) => {
  const own = processMetrics(t)
  const worker = processMetrics(t)
  const other = processMetrics(t)
  const all = new Map([
    ['a', worker],
    ['b', other]
  ])
  const cluster = new ClusterMetrics({
    own,
    ask: () => {
      for (const [member, metrics] of all)
        void metrics.snapshot().then((snapshot) => cluster.onSnapshot(member, snapshot))
      return [...all.keys()]
    }
  })
  worker.poolTimeouts.inc(3)
  worker.waiters.set(5)
  other.poolTimeouts.inc(4)
  other.waiters.set(6)
  own.workerRestarts.inc()
  const before = await cluster.toText()
  t.equal(valueOf(before, 'kiro_gateway_pool_timeouts_total'), 7)
  t.equal(valueOf(before, 'kiro_gateway_pool_waiters'), 11)
  t.equal(valueOf(before, 'kiro_gateway_worker_restarts_total'), 1)

  all.delete('a')
  cluster.onLeft('a')
  const after = await cluster.toText()
  t.equal(valueOf(after, 'kiro_gateway_pool_timeouts_total'), 7, 'never go back')
  t.equal(valueOf(after, 'kiro_gateway_pool_waiters'), 6, 'what it held is gone')
})

t.test('tells what it knows when a worker does not answer', async (t) => {
  const own = processMetrics(t)
  const cluster = new ClusterMetrics({ own, ask: () => ['silent'] })
  own.workerRestarts.inc(2)
  const [one, same] = await Promise.all([cluster.toText(), cluster.toText()])
  t.equal(valueOf(one, 'kiro_gateway_worker_restarts_total'), 2)
  t.equal(valueOf(same, 'kiro_gateway_worker_restarts_total'), 2)
})

t.test('loses nothing when many workers leave together, however often', async (t) => {
  const own = processMetrics(t)
  const worker = processMetrics(t)
  worker.poolTimeouts.inc(1)
  const snapshot = await worker.snapshot()
  const cluster = new ClusterMetrics({ own, ask: () => [] })
  for (let round = 1; round <= 5; round++) {
    const members = Array.from({ length: 20 }, (_, index) => `${round}.${index}`)
    for (const member of members) cluster.onSnapshot(member, snapshot)
    for (const member of members) cluster.onLeft(member)
    t.equal(valueOf(await cluster.toText(), 'kiro_gateway_pool_timeouts_total'), round * 20)
  }
})

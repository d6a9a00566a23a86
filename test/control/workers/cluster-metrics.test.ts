import t, { type Test } from 'tap'
import { ClusterMetrics } from '../../../src/control/workers/cluster-metrics.ts'
import { Metrics } from '../../../src/observe/metrics.ts'

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
  for (const member of all.keys()) cluster.onJoined(member)
  worker.connectionReuse.inc(3)
  worker.waiters.set(5)
  other.connectionReuse.inc(4)
  other.waiters.set(6)
  own.workerRestarts.inc()
  const before = await cluster.toText()
  t.equal(valueOf(before, 'kiro_gateway_connection_reuse_total'), 7)
  t.equal(valueOf(before, 'kiro_gateway_pool_waiters'), 11)
  t.equal(valueOf(before, 'kiro_gateway_worker_restarts_total'), 1)

  all.delete('a')
  cluster.onLeft('a')
  const after = await cluster.toText()
  t.equal(valueOf(after, 'kiro_gateway_connection_reuse_total'), 7, 'never go back')
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
  worker.connectionReuse.inc(1)
  const snapshot = await worker.snapshot()
  const cluster = new ClusterMetrics({ own, ask: () => [] })
  for (let round = 1; round <= 5; round++) {
    const members = Array.from({ length: 20 }, (_, index) => `${round}.${index}`)
    for (const member of members) {
      cluster.onJoined(member)
      cluster.onSnapshot(member, snapshot)
    }
    for (const member of members) cluster.onLeft(member)
    t.equal(valueOf(await cluster.toText(), 'kiro_gateway_connection_reuse_total'), round * 20)
  }
})

t.test(
  'the last words of a worker that has left count once, and what it held is gone',
  async (t) => {
    const worker = processMetrics(t)
    const cluster = new ClusterMetrics({ own: processMetrics(t), ask: () => [] })
    const figures = async () => {
      const text = await cluster.toText()
      const timeouts = valueOf(text, 'kiro_gateway_connection_reuse_total')
      return { timeouts, waiters: valueOf(text, 'kiro_gateway_pool_waiters') }
    }
    cluster.onJoined('worker 1 pid 7')
    worker.connectionReuse.inc(3)
    worker.waiters.set(5)
    cluster.onSnapshot('worker 1 pid 7', await worker.snapshot())
    t.same(await figures(), { timeouts: 3, waiters: 5 })
    cluster.onLeft('worker 1 pid 7')
    worker.connectionReuse.inc(1)
    cluster.onSnapshot('worker 1 pid 7', await worker.snapshot())
    t.equal((await figures()).timeouts, 4)
    t.not((await figures()).waiters, 5)
    cluster.onSnapshot('worker 1 pid 7', await worker.snapshot())
    t.equal((await figures()).timeouts, 4, 'however often they come')

    t.comment('a worker that never said anything before it left')
    cluster.onJoined('worker 2 pid 8')
    cluster.onLeft('worker 2 pid 8')
    cluster.onSnapshot('worker 2 pid 8', await worker.snapshot())
    t.equal((await figures()).timeouts, 8)

    t.comment('one with the same name, as process numbers come again')
    cluster.onJoined('worker 1 pid 7')
    cluster.onSnapshot('worker 1 pid 7', await worker.snapshot())
    t.equal((await figures()).timeouts, 12)
  }
)

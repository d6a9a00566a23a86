import { setTimeout as nextTimer } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { ProcessMetrics } from '../../src/observe/process-metrics.ts'
import { Registry } from '../../src/observe/prom-client.ts'

function rig(t: Test, windowMs: number) {
  const registry = new Registry()
  const metrics = new ProcessMetrics(registry, '2', windowMs)
  t.teardown(() => metrics.close())
  return async (name: string): Promise<number> => {
    const line = (await registry.metrics()).split('\n').find((one) => one.startsWith(`${name} `))
    return Number(line?.slice(name.length + 1) ?? NaN)
  }
}

async function block(ms: number): Promise<void> {
  // The monitor's own timer has to run before and after.
  await nextTimer(200)
  const until = performance.now() + ms
  while (performance.now() < until);
  await nextTimer(200)
}

const WORST = 'kiro_gateway_event_loop_delay_seconds{quantile="1"}'

t.test('ProcessMetrics', (t) => {
  t.test('has what all Prometheus clients have, under the name of the process', async (t) => {
    const valueOf = rig(t, 1000)
    const before = await valueOf('process_cpu_seconds_total{process="2"}')
    await block(100)
    const after = await valueOf('process_cpu_seconds_total{process="2"}')
    t.ok(after > before, 'CPU time')
    const { user, system } = process.cpuUsage()
    const now = await valueOf('process_cpu_seconds_total{process="2"}')
    t.ok(now >= (user + system) / 1e6, 'in user and system mode')
    t.ok((await valueOf('kiro_gateway_event_loop_busy_seconds_total{process="2"}')) >= 0.1)
    t.ok((await valueOf('process_resident_memory_bytes{process="2"}')) > 10_000_000)
    t.ok((await valueOf('nodejs_heap_size_used_bytes{process="2"}')) > 1_000_000)
    t.ok((await valueOf('nodejs_heap_size_total_bytes{process="2"}')) > 1_000_000)
    t.ok((await valueOf('nodejs_external_memory_bytes{process="2"}')) > 0)
    const age = Date.now() / 1000 - (await valueOf('process_start_time_seconds{process="2"}'))
    t.ok(age > 0 && age < 3600)
    if (process.platform === 'linux') {
      t.ok((await valueOf('process_open_fds{process="2"}')) >= 3)
    }
  })

  t.test('tells every reader of a delay, for a window at least and two at most', async (t) => {
    const valueOf = rig(t, 600)
    // On a busy machine the monitor itself may be late; the test's timeout is the bound.
    while (!((await valueOf(WORST)) > 0.15)) await block(300)
    t.ok((await valueOf(WORST)) > 0.15, 'whoever looks next')
    while ((await valueOf(WORST)) > 0.15) await nextTimer(100)
  })
  t.end()
})

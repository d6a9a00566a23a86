import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { GatewayClock } from './gateway-clock.ts'

t.test('GatewayClock', async (t) => {
  const waits = new Map([
    [1, 5000],
    [2, 70]
  ])
  const clock = new GatewayClock((pid) => waits.get(pid) ?? 0)
  const start = performance.now()
  clock.read([1, 2], start)
  const first = clock.read([1, 2], start + 200)
  waits.set(1, 5050).set(2, 190)
  const second = clock.read([1, 2], start + 400)
  t.ok(Math.abs(second - first - 80) < 0.001, 'it stands still while the worst one waits')
  waits.set(3, 9000)
  t.ok(Math.abs(clock.read([1, 3], start + 500) - second - 100) < 0.001, 'a process that is new')
  waits.set(1, 9999)
  t.ok(Math.abs(clock.read([1], start + 600) - second - 100) < 0.001, 'it never goes back')
})

t.test('a process that nobody lets run has waited', async (t) => {
  // Two on one CPU: each waits for half of the time.
  const busy = ['-c', '0', process.execPath, '-e', 'console.log(1); for (;;);']
  const pair = [spawn('taskset', busy), spawn('taskset', busy)]
  t.teardown(() => pair.forEach((process) => process.kill('SIGKILL')))
  await Promise.all(pair.map((process) => once(process.stdout, 'data')))
  const pids = pair.map(({ pid = 0 }) => pid)
  const clock = new GatewayClock()
  const from = clock.read(pids)
  const start = performance.now()
  while (performance.now() - start < 1000) await new Promise((go) => setTimeout(go, 50))
  const elapsed = performance.now() - start
  t.ok(clock.read(pids) - from < elapsed * 0.8)
})

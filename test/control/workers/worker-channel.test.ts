import { execFileSync } from 'node:child_process'
import cluster from 'node:cluster'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { planMemory } from '../../../src/config/memory-plan.ts'
import { setUpForks, WorkerChannel } from '../../../src/control/workers/worker-channel.ts'

/** Tries to start a worker and resolves with why it is gone. */
async function startWorker(t: Test, act = (_link: WorkerChannel): void => {}): Promise<string> {
  const calls: string[] = []
  const { promise, resolve } = Promise.withResolvers<string>()
  const link = new WorkerChannel({
    id: 1,
    env: {},
    patienceMs: 0,
    events: { onReady: () => {}, onExit: resolve },
    onMessage: () => {},
    onStderr: () => {},
    onRetire: () => void calls.push('retire'),
    onExit: () => void calls.push('exit')
  })
  link.retire()
  act(link)
  const reason = await promise
  link.drain()
  link.kill()
  link.send({ type: 'metrics.collect' })
  t.same(calls, ['retire', 'exit'], 'each once, the exit before the supervisor hears of it')
  return reason
}

t.test('a worker that cannot be started counts as one that has died', async (t) => {
  t.test('when the system says so a moment later', async (t) => {
    const { execPath } = process
    process.execPath = '/nowhere/node'
    t.teardown(() => {
      process.execPath = execPath
    })
    t.match(await startWorker(t), /^cannot be started: .*ENOENT/)
  })

  t.test('when it says so at once', async (t) => {
    t.intercept(cluster, 'fork', {
      value: () => {
        throw new Error('spawn ENOMEM')
      }
    })
    t.equal(await startWorker(t), 'cannot be started: spawn ENOMEM')
  })
})

t.test(
  'a worker that ends is reported with its exit code, or the signal that ended it',
  async (t) => {
    const exec = (text: string) => {
      cluster.setupPrimary({ exec: `${t.testdir({ 'worker.cjs': text })}/worker.cjs`, args: [] })
    }
    exec('process.exit(3)')
    t.equal(await startWorker(t), 'exit code 3')
    exec('process.kill(process.pid, "SIGKILL")')
    const [reason] = await Promise.all([startWorker(t), once(cluster, 'exit')])
    t.equal(reason, 'SIGKILL')
  }
)

t.test('a worker that is still loading when the gateway stops is not waited for', async (t) => {
  const exec = `${t.testdir({ 'worker.cjs': 'setInterval(() => {}, 1000)' })}/worker.cjs`
  cluster.setupPrimary({ exec, args: [] })
  t.equal(await startWorker(t, (link) => link.drain()), 'SIGKILL')
})

t.test(
  'a worker keeps what it has compiled while nobody asks, its heap is as planned, and V8 takes what was compiled before',
  async (t) => {
    const plan = planMemory(512 * 1024 * 1024, { workers: 2, threads: 1 })
    const { oldSpaceMb, semiSpaceMb } = plan.worker
    const wanted = [
      `--max-old-space-size=${oldSpaceMb}`,
      `--max-semi-space-size=${semiSpaceMb}`,
      '--no-memory-reducer',
      '--zero-fill-buffers'
    ]
    const compiled = execFileSync(process.execPath, ['-p', 'v8.cachedDataVersionTag()'], {
      env: {}
    })
    const text = `process.exit(process.execArgv.join() !== '${wanted.join()}' ? 4
      : require('node:v8').cachedDataVersionTag() !== ${Number(compiled)} ? 5 : 3)`
    setUpForks(`${t.testdir({ 'worker.cjs': text })}/worker.cjs`, plan, { fd: 1, args: [] })
    t.equal(await startWorker(t), 'exit code 3', 'and this Node knows the flags')
  }
)

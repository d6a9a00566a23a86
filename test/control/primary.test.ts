import cluster, { type Worker } from 'node:cluster'
import { EventEmitter } from 'node:events'
import t, { type Test } from 'tap'
import { loadConfig } from '../../src/config/load.ts'
import { planMemory } from '../../src/config/memory-plan.ts'
import type { Config } from '../../src/config/settings.ts'
import { createCredentialSource } from '../../src/credentials/sources.ts'
import { Primary } from '../../src/control/primary.ts'
import { recordedLog } from '../helper/recorded-log.ts'

interface Sent {
  readonly type: string
  readonly config?: Config
}

/** A worker process that does only what a test says. */
class FakeWorker extends EventEmitter {
  readonly sent: Sent[] = []
  readonly process: { readonly pid: number; readonly kill: () => void }

  constructor(pid: number) {
    super()
    this.process = { pid, kill: () => this.emit('exit', null, 'SIGKILL') }
  }

  isConnected(): boolean {
    return false
  }

  send(message: Sent): void {
    this.sent.push(message)
    if (message.type === 'worker.drain') this.emit('exit', 0, null)
  }
}

function configOf(env: Record<string, string>): Config {
  const loaded = loadConfig(env, [])
  if (loaded.name !== 'config') throw new Error('no config')
  return loaded.config
}

const SECRETS = {
  KIRO_API_KEY: 'ksk_secret',
  REFRESH_TOKEN: 'refresh-secret',
  PROXY_API_KEY: 'client-key',
  KIRO_API_URL: 'http://127.0.0.1:9'
}

/** A primary with one slot, whose workers are fakes. */
function primaryRig(t: Test) {
  const workers: FakeWorker[] = []
  const fork = cluster.fork.bind(cluster)
  cluster.fork = () => {
    const worker = new FakeWorker(100_000_000 + workers.length)
    workers.push(worker)
    return worker as unknown as Worker
  }
  const recorded = recordedLog()
  const config = configOf(SECRETS)
  const primary = new Primary({
    config,
    source: createCredentialSource(config.credentials, recorded.log),
    memory: planMemory(512 * 1024 * 1024, { workers: 1, threads: 1 }),
    isSimulated: false,
    workerEntry: 'none',
    log: recorded.log,
    forkLog: { fd: 1, args: [] },
    onStderr: () => {},
    onFatal: () => {}
  })
  t.teardown(async () => {
    cluster.fork = fork
    await primary.drain()
  })
  const started = primary.start()
  started.catch(() => {})
  const [worker] = workers
  if (worker === undefined) throw new Error('nothing was forked')
  const replacement = async (): Promise<FakeWorker> => {
    while (workers[1] === undefined) await soon()
    return workers[1]
  }
  return { primary, worker, replacement, started, text: recorded.text }
}

const soon = (): Promise<void> => new Promise(setImmediate)

/** Resolves when the worker was told to serve. */
async function toldToServe(worker: FakeWorker): Promise<Config> {
  for (;;) {
    const config = worker.sent.find(({ type }) => type === 'worker.start')?.config
    if (config !== undefined) return config
    await soon()
  }
}

t.test('a worker that dies before it may serve is given no connections', async (t) => {
  const { worker, replacement } = primaryRig(t)
  worker.emit('message', { type: 'worker.hello' })
  worker.emit('exit', null, 'SIGKILL')
  const next = await replacement()
  next.emit('message', { type: 'worker.hello' })
  await toldToServe(next)
  t.same(
    worker.sent.filter(({ type }) => type === 'worker.start' || type === 'lease.grant'),
    []
  )
})

t.test('workers never see what could renew or replace the sign-in', async (t) => {
  const { primary, worker } = primaryRig(t)
  worker.emit('message', { type: 'worker.hello' })
  const config = await toldToServe(worker)
  primary.reload(configOf({ ...SECRETS, HEARTBEAT_INTERVAL: '5' }))
  const changed = worker.sent.find(({ type }) => type === 'config.changed')?.config
  t.equal(changed?.server.heartbeatMs, 5000)
  for (const each of [config, changed]) {
    t.notMatch(JSON.stringify(each), /ksk_secret|refresh-secret/)
    t.same(each?.server.apiKeys, ['client-key'], 'which it has to check')
  }
})

t.test('a worker that leaves for its successor has an hour for its streams', async (t) => {
  const { primary, worker, replacement, started } = primaryRig(t)
  worker.emit('message', { type: 'worker.hello' })
  await toldToServe(worker)
  worker.emit('message', { type: 'worker.ready', port: 8000 })
  await started
  void primary.restartWorkers()
  const successor = await replacement()
  successor.emit('message', { type: 'worker.hello' })
  await toldToServe(successor)
  successor.emit('message', { type: 'worker.ready', port: 8000 })
  let retire: object | undefined
  while (retire === undefined) {
    await soon()
    retire = worker.sent.find(({ type }) => type === 'worker.retire')
  }
  t.match(retire, { patienceMs: 3_600_000 })
})

t.test('says why a worker cannot serve, also long after the start', async (t) => {
  const { worker, started, text } = primaryRig(t)
  worker.emit('message', { type: 'worker.hello' })
  await toldToServe(worker)
  worker.emit('message', { type: 'worker.ready', port: 8000 })
  t.equal(await started, 8000)
  worker.emit('message', { type: 'worker.failed', message: 'cannot listen' })
  t.match(text(), /"level":"error".*cannot listen.*worker cannot serve/)
})

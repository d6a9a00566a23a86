import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { type ChatCall, isComplete, startChat } from '../helper/chat-client.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy
t.jobs = 3 // they wait for silence to become too long, which takes no CPU; more starts at once would

/** Longer than a busy machine keeps a process waiting that runs. */
const STALL_SECONDS = 10
/** On `SIGPWR`, which nobody else sends, the event loop never turns again. */
const HANGS_ON_SIGNAL = `--import=data:text/javascript,process.on('SIGPWR',()=>{for(;;);})`

async function start(t: Test, env: Record<string, string> = {}): Promise<GatewayProcess> {
  const simulator = new Simulator()
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const gateway = await startGateway({
    upstreamUrl: url,
    env: { WORKERS: '2', HTTP_MAX_CONNECTIONS: '20', ...env },
    envFile: { WORKER_STALL_TIMEOUT: 'none' } // a worker may be stopped for as long as a test needs
  })
  t.teardown(async () => {
    for (const pid of gateway.workerPids()) kill(pid, 'SIGCONT')
    gateway.child.kill('SIGCONT')
    await gateway.destroy()
  })
  return gateway
}

/** From now on silence counts: also that of a worker that was stopped before. */
function watchForStalls(gateway: GatewayProcess, seconds = STALL_SECONDS): Promise<void> {
  return gateway.reload({ WORKER_STALL_TIMEOUT: String(seconds) })
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It is gone.
  }
}

interface Answer {
  readonly status: number
  readonly text: string
}

/** Never rejects; gives status 0 after a time that nobody should have to wait. */
async function get(url: string): Promise<Answer> {
  const headers = { connection: 'close' } // the next one may be for a worker that is stopped
  return fetch(url, { headers, signal: AbortSignal.timeout(20_000) })
    .then(async (response) => ({ status: response.status, text: await response.text() }))
    .catch((cause: unknown) => ({ status: 0, text: String(cause) }))
}

/** Streams that a worker serves: the other is stopped while they connect. */
async function startChatsOn(url: string, other: number, count: number): Promise<ChatCall[]> {
  process.kill(other, 'SIGSTOP')
  const calls = Array.from({ length: count }, () => startChat(url, 'sim:events=4000 sim:gap=50'))
  await Promise.all(calls.map(({ firstBytes }) => firstBytes))
  process.kill(other, 'SIGCONT')
  return calls
}

/** Polls until `check` holds: what it waits for happens in another process, which can't tell. */
async function eventually(check: () => Promise<boolean>): Promise<boolean> {
  for (let i = 0; i < 1200; i++) {
    if (await check()) return true
    await delay(50)
  }
  return false
}

const AT_NIGHT = { buffered: true, skip: skipByDay }

for (const [what, signal, skip] of [
  ['was stopped', 'SIGSTOP', false],
  ['runs in circles', 'SIGPWR', skipByDay]
] as const) {
  t.test(
    `a worker that ${what} is killed and replaced, and its connections with it`,
    { buffered: true, skip },
    async (t) => {
      const gateway = await start(t, { NODE_OPTIONS: HANGS_ON_SIGNAL })
      const [victim = 0, other = 0] = gateway.workerPids()
      const lost = await startChatsOn(gateway.url, other, 6)
      const before = gateway.lines.length
      kill(victim, signal)
      await watchForStalls(gateway)
      const died = await gateway.logged(({ msg }) => msg === 'worker died', before)
      t.match(died, { workerPid: null, reason: /^gave no sign of life for \d+ s$/ })
      const line = gateway.lines.find(({ msg }) => msg === 'worker hangs and is killed')
      t.match(line, { level: 'error', workerPid: victim })
      await gateway.logged((one) => one['state'] === 'ready', gateway.lines.indexOf(died))
      for (const call of lost) t.ok((await call.answer).isCut)
      const all = Array.from({ length: 20 }, () =>
        startChat(gateway.url, 'sim:events=40 sim:gap=50')
      )
      t.ok(
        (await Promise.all(all.map(({ answer }) => answer))).every(isComplete),
        'all permits work'
      )
      const { text } = await get(`${gateway.url}/metrics`)
      t.match(text, /^kiro_gateway_worker_stalls_total 1$/m)
      t.match((await get(`${gateway.url}/readyz`)).text, /"status":"ready"/)
      t.equal(await gateway.stop(), 0)
    }
  )
}

t.test('a worker that hangs is told of before it is killed', AT_NIGHT, async (t) => {
  const gateway = await start(t)
  const [victim = 0] = gateway.workerPids()
  process.kill(victim, 'SIGSTOP')
  await watchForStalls(gateway, 4 * STALL_SECONDS)
  const isTold = async (): Promise<boolean> =>
    (await get(`${gateway.url}/readyz`)).text.includes('"state":"silent"')
  t.ok(await eventually(isTold))
  process.kill(victim, 'SIGCONT')
  t.ok(await eventually(async () => !(await isTold())))
  t.notOk(gateway.lines.some(({ msg }) => msg === 'worker died'))
})

t.test('a gateway that was stopped as a whole goes on as it was', { buffered: true }, async (t) => {
  const gateway = await start(t)
  const [first = 0, second = 0] = gateway.workerPids()
  await watchForStalls(gateway)
  const call = startChat(gateway.url, 'sim:events=200 sim:gap=50')
  await call.firstBytes
  for (const pid of [first, second]) process.kill(pid, 'SIGSTOP')
  gateway.child.kill('SIGSTOP')
  await delay(2 * STALL_SECONDS * 1000) // as long as the machine sleeps
  gateway.child.kill('SIGCONT')
  for (const pid of [first, second]) process.kill(pid, 'SIGCONT')
  t.ok(isComplete(await call.answer))
  t.same(gateway.workerPids(), [first, second])
  t.notOk(gateway.lines.some(({ msg }) => msg === 'worker hangs and is killed'))
})

t.test('while the primary is stopped', { buffered: true }, async (t) => {
  const gateway = await start(t)
  const pids = gateway.workerPids()
  await watchForStalls(gateway)
  const running = startChat(gateway.url, 'sim:events=200 sim:gap=50')
  await running.firstBytes
  gateway.child.kill('SIGSTOP')
  const waiting = ['/metrics', '/v1/usage', '/health'].map((path) => get(`${gateway.url}${path}`))
  const [metrics, usage, health] = await Promise.all(waiting)
  t.match(metrics, { status: 503, text: /does not respond/ })
  t.match(usage, { status: 503, text: /does not respond/ })
  t.equal(health?.status, 200)
  const isReady = async (): Promise<boolean> => {
    const { status, text } = await get(`${gateway.url}/readyz`)
    return status === 200 && !text.includes('primary process hangs')
  }
  t.ok(await eventually(async () => !(await isReady())), 'until the primary is known to hang')
  t.equal((await get(`${gateway.url}/metrics`)).status, 503)
  t.ok(isComplete(await startChat(gateway.url, 'sim:events=3').answer), 'requests are served')
  gateway.child.kill('SIGCONT')
  t.ok(await eventually(isReady))
  t.ok(await eventually(async () => (await get(`${gateway.url}/metrics`)).status === 200))
  t.ok(isComplete(await running.answer), 'and streams go on all the while')
  t.same(gateway.workerPids(), pids, 'nobody has died of it')
})

t.test('a worker that hangs while it drains holds nobody up', AT_NIGHT, async (t) => {
  const gateway = await start(t, { DRAIN_TIMEOUT: '100' })
  const [victim = 0] = gateway.workerPids()
  await watchForStalls(gateway)
  process.kill(victim, 'SIGSTOP')
  const startedAt = performance.now()
  t.equal(await gateway.stop(), 0)
  t.ok(performance.now() - startedAt < 50_000)
})

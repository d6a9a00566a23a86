import { readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { parseMetrics } from '../chaos/metrics-text.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

function writeEnv(gateway: GatewayProcess, text: string): void {
  writeFileSync(join(readlinkSync(`/proc/${gateway.child.pid}/cwd`), '.env'), text)
}

/** The next log line of this message that is not there yet. */
function nextLogged(gateway: GatewayProcess, message: string) {
  const seen = gateway.lines.length
  return gateway.logged((line) => line['msg'] === message && gateway.lines.indexOf(line) >= seen)
}

type Figures = (name: string) => number

async function metricsOf(gateway: GatewayProcess): Promise<Figures> {
  const scrape = parseMetrics(await (await fetch(`${gateway.url}/metrics`)).text())
  return (name) => scrape.sum(name)
}

/** Figures of which one is that: those of a worker without a core come with the next ones. */
async function metricsWith(gateway: GatewayProcess, name: string, value: number): Promise<Figures> {
  for (;;) {
    const figures = await metricsOf(gateway)
    if (figures(name) === value) return figures
    await delay(20)
  }
}

/** Runs until the test has seen it, also on a busy machine. */
const LONG = 'sim:events=8000 sim:gap=40'
const simulator = new Simulator({ gapMs: 1 })
const { url } = await simulator.start()
t.teardown(() => simulator.close())

t.test('SIGHUP', async (t) => {
  const gateway = await startGateway({ upstreamUrl: url })
  t.teardown(() => gateway.destroy())

  t.test('shrinks the budget under running streams and cuts none of them', async (t) => {
    const calls = Array.from({ length: 30 }, () =>
      startChat(gateway.url, 'sim:events=40 sim:gap=40')
    )
    await Promise.all(calls.map(({ firstBytes }) => firstBytes))
    writeEnv(gateway, 'HTTP_MAX_CONNECTIONS=6\nHTTP_MAX_KEEPALIVE_CONNECTIONS=2\n')
    const reloaded = nextLogged(gateway, 'settings reloaded')
    gateway.child.kill('SIGHUP')
    await reloaded
    t.ok(
      gateway.lines.some(
        (line) =>
          line['msg'] ===
          'HTTP connection pool configured: max_connections=6, max_keepalive=2, keepalive_expiry=60.0s, pool_timeout=None'
      )
    )
    const answers = await Promise.all(calls.map(({ answer }) => answer))
    t.ok(answers.every(isComplete))
    // Each stream that ends lets its connection go; the last of them has just ended.
    while (simulator.stats().connections.open > 6) await delay(10)
    simulator.resetStats()
    const more = Array.from(
      { length: 20 },
      () => startChat(gateway.url, 'sim:events=5 sim:gap=10').answer
    )
    t.ok((await Promise.all(more)).every(isComplete))
    t.ok(simulator.stats().connections.max <= 6, 'the smaller budget holds')
    await metricsWith(gateway, 'pool_permits_leased', 6)
  })

  t.test('grows it at once', async (t) => {
    writeEnv(gateway, 'HTTP_MAX_CONNECTIONS=40\n')
    const reloaded = nextLogged(gateway, 'settings reloaded')
    gateway.child.kill('SIGHUP')
    await reloaded
    const calls = Array.from({ length: 30 }, () => startChat(gateway.url, LONG))
    await Promise.all(calls.map(({ firstBytes }) => firstBytes))
    t.equal(simulator.stats().inFlight, 30)
    for (const { request } of calls) request.destroy()
    while (simulator.stats().inFlight > 0) await delay(10)
  })

  t.test('changes nothing when the file has a mistake, and says which', async (t) => {
    writeEnv(gateway, 'HTTP_MAX_CONNECTIONS=many\n')
    const refused = nextLogged(gateway, 'settings cannot be reloaded, nothing was changed')
    gateway.child.kill('SIGHUP')
    t.match(JSON.stringify(await refused), 'HTTP_MAX_CONNECTIONS')
    await metricsWith(gateway, 'upstream_connection_budget', 40)
    t.ok(isComplete(await startChat(gateway.url, 'hi').answer))
  })
})

/** Calls of the upstream that connections carried. */
function callsOf(metric: (name: string) => number): number {
  return metric('upstream_connections_opened_total') + metric('connection_reuse_total')
}

t.test('/metrics counts over all workers and never back, also when one dies', async (t) => {
  const gateway = await startGateway({ upstreamUrl: url })
  t.teardown(() => gateway.destroy())
  const calls = Array.from({ length: 25 }, () => startChat(gateway.url, 'sim:events=3').answer)
  t.ok((await Promise.all(calls)).every(isComplete))
  await metricsWith(gateway, 'requests_total', 25)
  const before = await metricsWith(gateway, 'pool_permits_in_use', 0)
  t.ok(callsOf(before) > 25, "the gateway's own calls are counted, too")
  const [victim] = gateway.workerPids()
  if (victim === undefined) throw new Error('there is no worker')
  const replaced = gateway.logged(
    (line) =>
      line['state'] === 'ready' &&
      gateway.lines.some((one) => one['msg'] === 'worker died') &&
      gateway.lines.indexOf(line) > gateway.lines.findIndex((one) => one['msg'] === 'worker died')
  )
  process.kill(victim, 'SIGKILL')
  await replaced
  const after = await metricsOf(gateway)
  t.equal(after('requests_total'), 25)
  t.ok(callsOf(after) >= callsOf(before), 'what the dead worker has counted stays')
  t.equal(after('worker_restarts_total'), 1)
})

t.test(
  '/metrics tells of the pool per worker and in sum, under the documented names',
  async (t) => {
    const gateway = await startGateway({ upstreamUrl: url, env: { WORKERS: '2' } })
    t.teardown(() => gateway.destroy())
    const calls = Array.from({ length: 20 }, () => startChat(gateway.url, LONG))
    await Promise.all(calls.map(({ firstBytes }) => firstBytes))
    await metricsWith(gateway, 'worker_permits_in_use', 20)
    const text = await (await fetch(`${gateway.url}/metrics`)).text()
    const samples = new Map(
      text.split('\n').map((line) => {
        const end = line.lastIndexOf(' ')
        return [line.slice(0, end), Number(line.slice(end))]
      })
    )
    for (const name of [
      'kiro_gateway_upstream_connections{state="active"}',
      'kiro_gateway_upstream_connections{state="idle"}',
      'kiro_gateway_upstream_connections{state="connecting"}',
      'kiro_gateway_upstream_connection_budget',
      'kiro_gateway_pool_permits_leased{worker="1"}',
      'kiro_gateway_pool_permits_leased{worker="2"}',
      'kiro_gateway_pool_permits_leased{worker="control"}',
      'kiro_gateway_pool_permits_in_use',
      'kiro_gateway_pool_waiters',
      'kiro_gateway_pool_wait_seconds_count',
      'kiro_gateway_pool_timeouts_total',
      'kiro_gateway_pool_queue_rejected_total',
      'kiro_gateway_upstream_connections_opened_total{reason="first"}',
      'kiro_gateway_upstream_connections_opened_total{reason="all_busy"}',
      'kiro_gateway_connection_reuse_total',
      'kiro_gateway_worker_restarts_total',
      'kiro_gateway_admitted_bytes',
      'kiro_gateway_admitted_lane_bytes{lane="small"}',
      'kiro_gateway_admitted_lane_bytes{lane="answer"}',
      'kiro_gateway_admitted_lane_bytes{lane="kept"}',
      'http_client_open_connections{http_connection_state="active"}',
      'http_client_open_connections{http_connection_state="idle"}',
      'http_client_connection_duration_seconds_count'
    ])
      t.type(samples.get(name), 'number', name)
    t.match(text, '# TYPE kiro_gateway_upstream_connections_closed_total counter')
    t.match(text, '# TYPE kiro_gateway_event_loop_delay_seconds ')
    const of = (name: string, labels: string) =>
      samples.get(`kiro_gateway_${name}{${labels}}`) ?? NaN
    const perWorker = (name: string, labels = '') =>
      of(name, `worker="1"${labels}`) + of(name, `worker="2"${labels}`)
    t.equal(perWorker('worker_permits_in_use'), 20)
    t.equal(samples.get('kiro_gateway_pool_permits_in_use'), 20)
    t.equal(perWorker('worker_pool_waiters'), 0)
    const active = ',state="active"'
    t.equal(perWorker('worker_upstream_connections', active), 20)
    const own = of('worker_upstream_connections', `worker="control"${active}`)
    t.equal(
      of('upstream_connections', 'state="active"'),
      20 + own,
      "the gateway's own are in the sum"
    )
    for (const { request } of calls) request.destroy()
  }
)

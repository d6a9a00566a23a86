import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { parseMetrics } from '../chaos/metrics-text.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

/** The settings stand in `.env`, so that a reload can change them. */
async function setUp(t: Test, envFile: Record<string, string>) {
  const simulator = new Simulator()
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const gateway = await startGateway({ upstreamUrl: url, env: { WORKERS: '2' }, envFile })
  t.teardown(() => gateway.destroy())
  return { gateway, simulator }
}

async function completeStreams(url: string, count: number, prompt: string): Promise<number> {
  const calls = Array.from({ length: count }, () => startChat(url, prompt).answer)
  return (await Promise.all(calls)).filter(isComplete).length
}

/** What was being opened when the limit came is not counted by the upstream yet. */
async function isShrunk(gateway: GatewayProcess, simulator: Simulator, max: number): Promise<void> {
  for (;;) {
    const scrape = parseMetrics(await (await fetch(`${gateway.url}/metrics`)).text())
    const permits = scrape.sum('pool_permits_leased')
    if (permits <= max && simulator.stats().connections.open <= max) return
    await delay(5)
  }
}

const warnings = ({ lines }: GatewayProcess) =>
  lines.filter(({ level }) => level === 'warn').map((line) => JSON.stringify(line))

t.test('pool settings', async (t) => {
  t.test('none means no limit, and what it lifts is lent to nobody', async (t) => {
    const { gateway, simulator } = await setUp(t, {
      HTTP_MAX_CONNECTIONS: 'none',
      HTTP_MAX_KEEPALIVE_CONNECTIONS: 'none',
      HTTP_KEEPALIVE_EXPIRY: 'none',
      HTTP_POOL_TIMEOUT: 'none'
    })
    const line = gateway.lines.find(({ msg }) => String(msg).includes('pool configured'))
    t.equal(
      line?.['msg'],
      'HTTP connection pool configured: max_connections=None, max_keepalive=None, keepalive_expiry=None, pool_timeout=None'
    )
    // On a busy machine the first are over before the last have begun, where they are short.
    for (const gap of [200, 800, 3200]) {
      t.equal(await completeStreams(gateway.url, 330, `sim:events=5 sim:gap=${gap}`), 330)
      if (simulator.stats().connections.max > 300) break
    }
    t.ok(simulator.stats().connections.max > 300, `${simulator.stats().connections.max}`)
    t.ok(simulator.stats().connections.open > 300, 'all of them sit idle')
    t.same(warnings(gateway), [])
    await gateway.reload({ HTTP_MAX_CONNECTIONS: '6', HTTP_MAX_KEEPALIVE_CONNECTIONS: '4' })
    await isShrunk(gateway, simulator, 6)
    simulator.resetStats()
    t.equal(await completeStreams(gateway.url, 30, 'sim:events=3 sim:gap=5'), 30)
    t.ok(simulator.stats().connections.max <= 6, 'a limit that comes later holds')

    await gateway.reload({ HTTP_MAX_CONNECTIONS: '1', HTTP_MAX_KEEPALIVE_CONNECTIONS: '1' })
    t.match(warnings(gateway).join(), 'fewer connections than workers')
    await isShrunk(gateway, simulator, 1)
    simulator.resetStats()
    t.equal(await completeStreams(gateway.url, 12, 'sim:events=2 sim:gap=5'), 12)
    t.ok(simulator.stats().connections.max <= 1, 'shared by turns')
  })

  t.test('one connection for two workers is served by one, and the log says so', async (t) => {
    const { gateway, simulator } = await setUp(t, {
      HTTP_MAX_CONNECTIONS: '1',
      HTTP_MAX_KEEPALIVE_CONNECTIONS: '0'
    })
    t.equal(gateway.workerPids().length, 1)
    t.match(warnings(gateway).join(), 'WORKERS is 2, more than HTTP_MAX_CONNECTIONS')
    t.equal(await completeStreams(gateway.url, 6, 'sim:events=2 sim:gap=5'), 6)
    t.equal(simulator.stats().connections.max, 1)
    while (simulator.stats().connections.open > 0) await delay(5) // none may sit idle
  })

  t.test('HTTP_POOL_MAX_WAITING=0 refuses whoever would have to wait', async (t) => {
    const { gateway, simulator } = await setUp(t, {
      HTTP_MAX_CONNECTIONS: '3',
      HTTP_MAX_KEEPALIVE_CONNECTIONS: '3',
      HTTP_POOL_MAX_WAITING: '0'
    })
    const held = []
    // Whether a permit of the other worker is idle is known only a moment later.
    while (simulator.stats().inFlight < 3) {
      const call = startChat(gateway.url, 'sim:events=1000 sim:gap=50')
      held.push(call)
      await Promise.race([call.firstBytes.catch(() => {}), call.answer])
    }
    const { status, text } = await startChat(gateway.url, 'hi').answer
    t.equal(status, 503)
    t.match(text, 'HTTP_POOL_MAX_WAITING')
    for (const { request } of held) request.destroy()
  })
})

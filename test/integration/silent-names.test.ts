import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { startChat } from '../helper/chat-client.ts'
import { GatewayProcess, type GatewayOptions, startGateway } from '../helper/gateway-process.ts'
import { NameServer } from '../helper/name-server.ts'

t.setTimeout(300_000) // real processes, on a machine that may be busy

/** A pending `getaddrinfo` took 4 to 10 s. The processes themselves end within 0.3 s where the machine is idle. */
const STOP_MS = 3000

const HOST = 'upstream.silent.example'

async function stopTime(t: Test, gateway: GatewayProcess): Promise<void> {
  const startedAt = performance.now()
  t.equal(await gateway.stop(), 0)
  const tookMs = performance.now() - startedAt
  t.ok(tookMs < STOP_MS, `${tookMs.toFixed(0)} ms from SIGTERM to the end`)
}

async function options(t: Test, changes: Partial<GatewayOptions> = {}) {
  const names = await NameServer.start(t)
  const env = { DNS_SERVERS: names.address, WORKERS: '2', ...changes.env }
  return { names, options: { upstreamUrl: `http://${HOST}:1`, ...changes, env } }
}

t.test('a gateway whose upstream nobody can name', (t) => {
  t.test('stops at once while its own calls look the name up', async (t) => {
    const { names, options: silent } = await options(t)
    const gateway = await startGateway(silent)
    t.teardown(() => gateway.destroy())
    await names.asked(HOST)
    await stopTime(t, gateway)
  })

  t.test('stops at once while it starts, and its token is to be renewed', async (t) => {
    const env = { KIRO_AUTH_URL: `http://${HOST}:2` }
    const { names, options: silent } = await options(t, { env, tokenLifeMs: -1000 })
    const gateway = new GatewayProcess(silent)
    t.teardown(() => gateway.destroy())
    await names.asked(HOST)
    await stopTime(t, gateway)
  })

  t.test('stops at once before anything has started', async (t) => {
    const env = { WORKERS: '3', HTTP_MAX_CONNECTIONS: '2' }
    const { options: silent } = await options(t, { env })
    const gateway = new GatewayProcess(silent)
    t.teardown(() => gateway.destroy())
    await gateway.logged((line) => line['msg'] === 'configuration corrected')
    await stopTime(t, gateway)
  })

  t.test('stops whenever the signal comes', async (t) => {
    for (const delayMs of [150, 300, 450, 600, 800]) {
      const { options: silent } = await options(t)
      const gateway = new GatewayProcess(silent)
      t.teardown(() => gateway.destroy())
      await delay(delayMs)
      const hasBegun = gateway.lines.length > 0
      const code = await gateway.stop()
      t.ok(code === 0 || (code === null && !hasBegun), `after ${delayMs} ms: ${code}`)
    }
  })

  t.test('stops at once with a client that waits for the upstream', async (t) => {
    const { options: silent } = await options(t, { env: { DRAIN_TIMEOUT: '0' } })
    const gateway = await startGateway(silent)
    t.teardown(() => gateway.destroy())
    const { answer } = startChat(gateway.url, 'x')
    const ended = answer.catch(() => null)
    await stopTime(t, gateway)
    await ended
  })

  t.test('says so soon, and not where it is', async (t) => {
    const { options: silent } = await options(t, { env: { UPSTREAM_MAX_ATTEMPTS: '1' } })
    const gateway = await startGateway(silent)
    t.teardown(() => gateway.destroy())
    const { status, text } = await startChat(gateway.url, 'x').answer
    t.equal(status, 502)
    t.match(text, /The upstream could not be resolved .*KIRO_API_URL/)
    t.notMatch(text, HOST)
    const logged = await gateway.logged((line) => JSON.stringify(line).includes('GW_UPSTREAM_DNS'))
    t.match(JSON.stringify(logged), HOST, 'the log has it')
    await gateway.stop()
  })
  t.end()
})

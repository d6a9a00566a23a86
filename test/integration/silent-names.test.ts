import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { type GatewayOptions, GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { inTime } from '../helper/in-time.ts'
import { NameServer } from '../helper/name-server.ts'
import { startSimulator } from '../helper/run-simulator.ts'
import { isNightly, skipByDay } from '../helper/nightly.ts'

t.setTimeout(900_000) // real processes, on a machine that may be busy

/** A pending `getaddrinfo` took 4 to 10 s. The processes themselves end within 0.3 s where the machine is idle. */
const STOP_MS = 3000

const HOST = 'upstream.silent.example'
/** Of loopback: the system's own look-up asks port 53 alone. */
const SYSTEM_SERVER = '127.0.0.78'

/** Stops what `begin` has begun; a busy machine may spoil some tries, but not all. */
async function stopsInTime(t: Test, begin: () => Promise<GatewayProcess>): Promise<void> {
  await inTime(t, STOP_MS, async () => {
    const gateway = await begin()
    t.teardown(() => gateway.destroy())
    const startedAt = performance.now()
    t.equal(await gateway.stop(), 0)
    return performance.now() - startedAt
  })
}

async function options(t: Test, changes: Partial<GatewayOptions> = {}) {
  const names = await NameServer.start(t)
  const env = { DNS_SERVERS: names.address, WORKERS: '1', ...changes.env }
  return { names, options: { upstreamUrl: `http://${HOST}:1`, ...changes, env } }
}

t.test('a gateway whose upstream nobody can name', (t) => {
  t.test('stops at once while its own calls look the name up', async (t) => {
    await stopsInTime(t, async () => {
      const { names, options: silent } = await options(t)
      const gateway = await startGateway(silent)
      await names.asked(HOST)
      return gateway
    })
  })

  t.test('stops at once while it starts, and its token is to be renewed', async (t) => {
    const env = { KIRO_AUTH_URL: `http://${HOST}:2` }
    await stopsInTime(t, async () => {
      const { names, options: silent } = await options(t, { env, tokenLifeMs: -1000 })
      const gateway = new GatewayProcess(silent)
      await names.asked(HOST)
      return gateway
    })
  })

  t.test('stops at once before anything has started', async (t) => {
    const env = { WORKERS: '3', HTTP_MAX_CONNECTIONS: '2' }
    const { options: silent } = await options(t, { env })
    await stopsInTime(t, async () => {
      const gateway = new GatewayProcess(silent)
      await gateway.logged((line) => line['msg'] === 'configuration warning')
      return gateway
    })
  })

  t.test('stops whenever the signal comes', async (t) => {
    for (const delayMs of isNightly ? [150, 300, 450, 600, 800] : [300]) {
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
    await stopsInTime(t, async () => {
      const gateway = await startGateway(silent)
      startChat(gateway.url, 'x').answer.catch(() => null)
      return gateway
    })
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

/** Starts a program with the name servers of `file` as those of its system; `null` where this user may not arrange that. */
function withSystemNames(file: string): readonly string[] | null {
  const script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
  const launcher = ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, file]
  try {
    execFileSync('unshare', [...launcher.slice(1), 'true'], { stdio: 'ignore' })
    return launcher
  } catch {
    return null
  }
}

const folder = mkdtempSync(join(tmpdir(), 'silent-names-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
const serversFile = join(folder, 'resolv.conf')
writeFileSync(serversFile, `nameserver ${SYSTEM_SERVER}\n`)
const launcher = withSystemNames(serversFile)
const skip = launcher === null ? 'needs root and unshare(1)' : false

t.test('a gateway whose system can name nobody', { skip: skip || skipByDay }, async (t) => {
  const address = { address: SYSTEM_SERVER, port: 53 }
  const names = await NameServer.start(t, () => 'silent', address)

  t.test('stops at once while it looks for its Valkey', async (t) => {
    const env = {
      FLEET_URL: 'redis://valkey.silent.example:6379',
      FLEET_REPLICAS: '2',
      FLEET_SECRET: '0123456789abcdef0123456789abcdef'
    }
    await stopsInTime(t, async () => {
      const before = names.questions.length
      const gateway = await startGateway({ launcher: launcher ?? [], env })
      await names.asked('valkey.silent.example', before)
      return gateway
    })
  })

  t.test('stops at once while a worker looks for the collector of its traces', async (t) => {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector.silent.example:4318',
      OTEL_EXPORTER_OTLP_TIMEOUT: '500',
      WORKERS: '1'
    }
    await stopsInTime(t, async () => {
      const before = names.questions.length
      const gateway = await startGateway({ launcher: launcher ?? [], env })
      t.ok(isComplete(await startChat(gateway.url, 'hello').answer))
      await names.asked('collector.silent.example', before)
      return gateway
    })
  })
})

/** A gateway of one worker that opens a connection for each call, to an upstream that has a name. */
async function gatewayByName(t: Test) {
  const { url } = await startSimulator(t)
  const names = await NameServer.start(t, (name, type) => {
    if (name !== HOST) return 'silent'
    return type === 'A' ? ['127.0.0.1'] : []
  })
  names.ttlS = 0
  const env = { DNS_SERVERS: names.address, WORKERS: '1', HTTP_MAX_KEEPALIVE_CONNECTIONS: '0' }
  const upstreamUrl = `http://${HOST}:${new URL(url).port}`
  const gateway = await startGateway({ upstreamUrl, env })
  t.teardown(() => gateway.destroy())
  return { gateway, names }
}

t.test('images whose names nobody answers for hold up no new connection', async (t) => {
  const { gateway, names } = await gatewayByName(t)
  const abort = new AbortController()
  const content = Array.from({ length: 20 }, (_, index) => ({
    type: 'image_url',
    image_url: { url: `http://${index}.example/image.png` }
  }))
  const images = fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'claude-haiku-4.5', messages: [{ role: 'user', content }] }),
    signal: abort.signal
  }).catch(() => 'left')
  await names.asked('7.example')
  for (let count = 0; count < 5; count++) {
    t.ok(isComplete(await startChat(gateway.url, 'hello').answer))
  }
  abort.abort()
  t.equal(await images, 'left', 'they were still being looked up')
  t.equal(await gateway.stop(), 0)
})

t.test('a gateway that works goes on while name servers are silent', async (t) => {
  const { gateway, names } = await gatewayByName(t)
  t.ok(isComplete(await startChat(gateway.url, 'hello').answer))
  names.reply = () => 'silent'
  const before = names.questions.length
  const deadline = performance.now() + 60_000
  while (names.questions.length === before && performance.now() < deadline) {
    t.ok(isComplete(await startChat(gateway.url, 'hello').answer))
  }
  t.ok(names.questions.length > before, 'it was looked up again')
  t.ok(isComplete(await startChat(gateway.url, 'hello').answer))
  await gateway.stop()
})

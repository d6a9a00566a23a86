import { once } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { WebSocket } from 'ws'
import { Simulator } from '../strict-simulator/simulator.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { type ProxyName, ProxyProcess } from './proxy-process.ts'
import { send, StreamLoad } from './stream-load.ts'

/*
 * The proxies of docs/proxies and docker-compose.update.yml, as Debian has them (`apt-get install caddy nginx`), before real
 * gateways: `node test/proxies/proxies.ts`.
 */

t.setTimeout(600_000)

const KEY = 'the-key-of-this-test'
const simulator = new Simulator({ gapMs: 0 })
const { url: upstreamUrl } = await simulator.start()
t.teardown(() => simulator.close())

async function gateway(
  t: Test,
  env: Readonly<Record<string, string>> = {}
): Promise<GatewayProcess> {
  const started = await startGateway({
    upstreamUrl,
    env: { PROXY_API_KEY: KEY, WORKERS: '1', ...env }
  })
  t.teardown(() => started.destroy())
  return started
}

function question(prompt: string, more: object = {}): string {
  const messages = [{ role: 'user', content: prompt }]
  return JSON.stringify({
    model: 'claude-haiku-4.5',
    max_tokens: 1000,
    stream: true,
    messages,
    ...more
  })
}

for (const name of ['caddy', 'nginx'] satisfies ProxyName[]) {
  t.test(`${name} with TLS before a gateway`, async (t) => {
    const { url } = await gateway(t, { HEARTBEAT_INTERVAL: '0.5' })
    const proxy = await ProxyProcess.start(name, url)
    t.teardown(() => proxy.close())
    const ask = (body: string) => send(`${proxy.url}/v1/messages`, KEY, body)

    t.test('hands every piece on at once', async (t) => {
      const response = await ask(question('sim:events=5 sim:gap=400 go'))
      t.equal(response.headers['content-type'], 'text/event-stream; charset=utf-8')
      t.ok(response.headers['x-request-id'])
      const at: number[] = []
      for await (const _ of response) at.push(performance.now())
      t.ok(at.length >= 5, `${at.length} pieces`)
      t.ok((at.at(-1) ?? 0) - (at[0] ?? 0) > 1200, 'as they came, not together at the end')
    })

    t.test('hands heartbeats on', async (t) => {
      const response = await ask(question('sim:first=2500 sim:events=1 go'))
      const startedAt = performance.now()
      const [first] = await once(response, 'data')
      t.ok(performance.now() - startedAt < 2000, 'before the model says anything')
      t.match(String(first), 'ping')
      response.resume()
      await once(response, 'end')
    })

    t.test(
      'takes a large body, and says what the gateway says of one that is too large',
      async (t) => {
        const response = await ask(question(`sim:events=1 ${'word '.repeat(100_000)}`))
        t.equal(response.statusCode, 200)
        response.resume()
        await once(response, 'end')
        const refused = await ask(question('a'.repeat(33 * 1024 * 1024))).catch(() => null)
        if (refused !== null) t.equal(refused.statusCode, 413)
        refused?.resume()
      }
    )

    t.test('hands a WebSocket on, and why it ends', async (t) => {
      const socket = new WebSocket(`${proxy.url.replace('https', 'wss')}/v1/responses`, {
        headers: { authorization: `Bearer ${KEY}` },
        rejectUnauthorized: false
      })
      t.teardown(() => socket.terminate())
      await once(socket, 'open')
      const completed = Promise.withResolvers<void>()
      socket.on('message', (text: Buffer) => {
        if (text.toString().startsWith('{"type":"response.completed"')) completed.resolve()
      })
      const input = 'sim:events=5 go'
      socket.send(JSON.stringify({ type: 'response.create', model: 'auto', input }))
      await completed.promise
      socket.send(Buffer.from('not text'))
      const [code] = await once(socket, 'close')
      t.equal(code, 1008)
    })

    t.test('a client that leaves is gone for the gateway, too', async (t) => {
      const response = await ask(question('sim:events=1000 sim:gap=100 go'))
      await once(response, 'data')
      response.destroy()
      for (;;) {
        const metrics = await fetch(`${url}/metrics`, {
          headers: { authorization: `Bearer ${KEY}` }
        })
        const text = await metrics.text()
        if (/^kiro_gateway_pool_permits_in_use 0$/m.test(text)) break
        await delay(100)
      }
      t.pass('its permit is back')
    })
    t.end()
  })
}

/** 24 clients, each with one stream of about two seconds after the other. */
function load(url: string): StreamLoad {
  return new StreamLoad({ url, key: KEY, clients: 24, prompt: 'sim:events=20 sim:gap=100 go' })
}

interface Moved {
  readonly before: number
  readonly max: number
}

/** What moving to another gateway has cost under load. */
async function move(t: Test, url: string, act: () => Promise<void>): Promise<Moved> {
  const running = load(url)
  while (running.whole < 48) await delay(50)
  await running.stop()
  const clients = load(url)
  await delay(3000)
  const calm = await running.stop()
  await act()
  await delay(3000)
  const result = await clients.stop()
  t.same(result.failures, [], 'no request failed, no stream was cut')
  const { p50, p99, max } = result.firstByteMs
  t.comment(
    `${result.whole} streams, first byte p50 ${p50} p99 ${p99} max ${max} ms; before max ${calm.firstByteMs.max} ms`
  )
  return { before: calm.firstByteMs.max, max }
}

t.test('an update behind Caddy', async (t) => {
  const env = { DRAIN_DELAY: '3', DRAIN_TIMEOUT: '60' }
  const old = await gateway(t, env)
  const next = await gateway(t, env)
  const proxy = await ProxyProcess.startForUpdates(old.url, next.url)
  t.teardown(() => proxy.close())
  const { before, max } = await move(t, proxy.url, async () => {
    old.child.kill('SIGTERM')
    t.equal((await fetch(`${old.url}/readyz`)).status >= 200, true)
    t.equal(await old.exited, 0)
  })
  t.ok(max - before < 1000, `${max - before} ms more than before`)
})

t.test('an update behind nginx, which is told where to go', async (t) => {
  const old = await gateway(t, { DRAIN_TIMEOUT: '60' })
  const next = await gateway(t)
  const proxy = await ProxyProcess.start('nginx', old.url)
  t.teardown(() => proxy.close())
  const { before, max } = await move(t, proxy.url, async () => {
    proxy.reload(next.url)
    await delay(1000)
    old.child.kill('SIGTERM')
    t.equal(await old.exited, 0)
  })
  t.ok(max - before < 1000, `${max - before} ms more than before`)
})

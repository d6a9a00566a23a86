import { once } from 'node:events'
import { createServer, type IncomingMessage, request as send, type ServerResponse } from 'node:http'
import { gzipSync } from 'node:zlib'
import t, { type Test } from 'tap'
import { CountingProxy } from '../../helper/counting-proxy.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { until } from '../../helper/fleet-team.ts'
import { hashOfKey, namedKey } from '../../helper/named-key.ts'
import { serverUrl } from '../../helper/server-url.ts'

const ANNA = namedKey({ hashes: [hashOfKey('annas')] })

async function startWorker(t: Test, env: Record<string, string> = {}) {
  const upstream = await CountingUpstream.start(t)
  const lines: string[] = []
  const primary = await FakePrimary.start(t, upstream.url, {
    env: { LOG_LEVEL: 'info', ...env },
    start: { knownKeys: { isKeyRequired: true, keys: [ANNA] } },
    lines
  })
  return { primary, lines, upstream }
}

t.test('managed settings', async (t) => {
  const { primary } = await startWorker(t)
  const get = (headers: Record<string, string> = {}) =>
    fetch(`${primary.url}/managed/settings`, {
      headers: { authorization: 'Bearer annas', ...headers }
    })

  await t.test('are missing unless an operator gives some', async (t) => {
    const response = await get()
    t.equal(response.status, 404)
    t.match(await response.json(), { type: 'error', error: { type: 'not_found_error' } })
  })

  const managed = { checksum: 'sha256:abc', body: '{"uuid":"u"}' }
  primary.tell({ type: 'config.changed', config: { ...primary.told.config, managed } })

  await t.test('are only for clients with a key', async (t) => {
    for (const headers of [{ authorization: 'Bearer wrong' }, { authorization: '' }]) {
      const response = await get(headers)
      t.equal(response.status, 401)
      t.equal(response.headers.get('x-should-retry'), 'false')
      t.match(await response.json(), { error: { type: 'authentication_error' } })
    }
  })

  await t.test(
    'are sent with their checksum, and not again to a client that has them',
    async (t) => {
      for (const headers of [{}, { 'if-none-match': '*' }, { 'if-none-match': '"sha256:old"' }]) {
        const response = await get(headers)
        t.equal(response.status, 200)
        t.equal(response.headers.get('etag'), '"sha256:abc"')
        t.same(await response.json(), { uuid: 'u' })
      }
      const response = await get({ 'if-none-match': '"sha256:abc"' })
      t.equal(response.status, 304)
      t.equal(await response.text(), '')
    }
  )
})

interface Received {
  readonly url: string | undefined
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

async function startCollector(t: Test) {
  const received: Received[] = []
  const held: ServerResponse[] = []
  const rules = { isHolding: false, status: 200 }
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const { url, headers } = request
      received.push({ url, headers, body: Buffer.concat(chunks) })
      if (rules.isHolding) held.push(response)
      else response.writeHead(rules.status).end()
    })
  })
  const { origin } = await serverUrl(server)
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return { origin, received, held, rules }
}

type Collector = Awaited<ReturnType<typeof startCollector>>

async function startRelay(t: Test, env: (collector: Collector) => Record<string, string>) {
  const collector = await startCollector(t)
  const { primary, lines } = await startWorker(t, {
    OTEL_EXPORTER_OTLP_ENDPOINT: `${collector.origin}/otel/`,
    OTEL_EXPORTER_OTLP_HEADERS: 'x-api-token=secret',
    OTEL_TRACES_SAMPLER: 'always_off',
    CLIENT_TELEMETRY: 'forward',
    ...env(collector)
  })
  const post = (path: string, body: string | Buffer, headers: Record<string, string> = {}) =>
    fetch(primary.url + path, {
      method: 'POST',
      headers: { authorization: 'Bearer annas', 'content-type': 'application/json', ...headers },
      body
    })
  return { collector, lines, primary, post }
}

t.test('telemetry', async (t) => {
  await t.test('is taken from clients with a key, and dropped', async (t) => {
    const { post, collector } = await startRelay(t, () => ({ CLIENT_TELEMETRY: 'drop' }))
    for (const path of ['/v1/metrics', '/v1/logs', '/v1/traces']) {
      const response = await post(path, '{"resourceMetrics":[]}')
      t.equal(response.status, 200)
      t.same(await response.json(), {})
      const bytes = await post(path, Buffer.alloc(100), {
        'content-type': 'application/x-protobuf'
      })
      t.equal(bytes.status, 200)
      t.equal((await bytes.arrayBuffer()).byteLength, 0, 'an empty message')
      const stranger = await post(path, '{}', { authorization: 'Bearer other' })
      t.equal(stranger.status, 401)
      t.match(await stranger.json(), { error: { type: 'authentication_error' } })
    }
    t.equal((await post('/v1/logs', Buffer.alloc(2 ** 21))).status, 200, 'however much it is')
    t.same(collector.received, [])
  })

  await t.test('is forwarded as it came, without the key of the client', async (t) => {
    const { post, collector } = await startRelay(t, () => ({}))
    const body = gzipSync('{"resourceLogs":[]}')
    await post('/v1/logs', body, {
      'content-encoding': 'gzip',
      cookie: 'a=b',
      'x-api-key': 'annas'
    })
    await until(() => collector.received.length === 1)
    const [sent] = collector.received
    t.match(sent, {
      url: '/otel/v1/logs',
      headers: {
        'content-type': 'application/json',
        'content-encoding': 'gzip',
        'x-api-token': 'secret',
        'user-agent': /^kiro-gateway\//
      }
    })
    t.same(sent?.body, body)
    t.notMatch(JSON.stringify(sent?.headers), /annas|cookie/)
  })

  await t.test('goes through the proxy', async (t) => {
    const proxy = await CountingProxy.start(t, 'http')
    const { post, collector } = await startRelay(t, () => ({ VPN_PROXY_URL: proxy.url }))
    await post('/v1/traces', '{}')
    await until(() => collector.received.length === 1)
    t.same(proxy.targets, [new URL(collector.origin).host])
  })

  await t.test('waits for nothing: not for a collector that hangs, nor for room', async (t) => {
    const { post, collector, primary } = await startRelay(t, () => ({}))
    collector.rules.isHolding = true
    const flood = async (body: string | Buffer, count: number): Promise<void> => {
      for (let sent = 0; sent < count; sent += 1) {
        const response = await post('/v1/metrics', body)
        t.equal(response.status, 200)
        await response.text()
      }
    }
    const release = (): void => {
      for (const response of collector.held.splice(0)) response.end()
    }
    await flood(Buffer.alloc(2 ** 20, 'x'), 6)
    await until(() => collector.held.length === 2)
    release()
    await flood('{}', 60)
    await until(() => collector.held.length === 2)
    t.equal(collector.received.length, 4, 'half of the room for a key, and two at a time')
    const wanted = primary.heard('metrics.snapshot')
    primary.tell({ type: 'metrics.collect' })
    t.match(JSON.stringify((await wanted).metrics), 'kiro_gateway_client_telemetry_total')
    collector.rules.isHolding = false
    release()
    await until(() => collector.received.length === 4 + 32)
    const again = collector.received.length
    await post('/v1/metrics', '{}')
    await until(() => collector.received.length > again)
  })

  await t.test('that cannot be forwarded is told of once, without an address', async (t) => {
    const { post, collector, lines } = await startRelay(t, () => ({}))
    collector.rules.status = 503
    for (let count = 0; count < 3; count += 1) await (await post('/v1/logs', '{}')).text()
    await until(() => collector.received.length === 3)
    await until(() => lines.some((line) => line.includes('telemetry')))
    const told = lines.filter((line) => line.includes('telemetry'))
    t.equal(told.length, 1)
    t.match(told[0], '"failure":"status 503"')
    t.notMatch(told[0], /127\.0\.0\.1|secret/)
  })

  await t.test('of a client that leaves in the middle holds no room', async (t) => {
    const { primary, post, collector } = await startRelay(t, () => ({}))
    for (let count = 0; count < 8; count += 1) {
      const left = send(`${primary.url}/v1/logs`, {
        method: 'POST',
        headers: {
          authorization: 'Bearer annas',
          'content-type': 'application/json',
          'content-length': 2 ** 20
        }
      })
      left.on('error', () => {})
      left.write('x'.repeat(1000))
      await once(left, 'socket')
      await new Promise((resolve) => setImmediate(resolve))
      left.destroy()
    }
    await until(async () => {
      await (await post('/v1/logs', Buffer.alloc(2 ** 20))).text()
      return collector.received.length > 0
    })
    t.equal(collector.received[0]?.body.byteLength, 2 ** 20)
  })
})

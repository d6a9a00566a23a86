import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { toProxyUrl } from '../../src/config/setting-text.ts'
import { classifyFailure } from '../../src/upstream/classify.ts'
import { openSocket } from '../../src/upstream/connections/open-socket.ts'
import { chooseProxy, proxyOf } from '../../src/upstream/proxy/proxy.ts'
import { CountingProxy, type ProxyKind } from '../helper/counting-proxy.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { freePort } from '../helper/free-port.ts'
import { inTime, SETTLE_MS } from '../helper/in-time.ts'
import { connectionPool, RecordedExchange } from '../helper/recorded-exchange.ts'
import { selfSignedCertificate } from '../helper/self-signed-certificate.ts'
import { serverUrl } from '../helper/server-url.ts'

const ofProxy = selfSignedCertificate()
const ofUpstream = selfSignedCertificate('upstream.test')
const ca = ofProxy.cert + ofUpstream.cert
const kinds: readonly ProxyKind[] = ['http', 'https', 'socks5']

function settingsOf(url: string, exceptions: string | null = null) {
  return { url: toProxyUrl(url) ?? null, httpsUrl: null, exceptions }
}

function poolThrough(t: Test, url: string, changes: Parameters<typeof connectionPool>[1] = {}) {
  return connectionPool(t, { chooseProxy: chooseProxy(settingsOf(url)), ca, ...changes })
}

/** The upstream by a name that only the proxy knows. */
function named({ url }: CountingUpstream): URL {
  return new URL(`${url.protocol}//upstream.test:${url.port}`)
}

/** A proxy that does as the test says with each of its sockets. */
async function oddProxy(t: Test, scheme: string, act: (socket: Socket) => void) {
  const sockets = new Set<Socket>()
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).once('close', () => sockets.delete(socket))
    act(socket)
  })
  const { port } = await serverUrl(server)
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { url: `${scheme}://127.0.0.1:${port}`, sockets }
}

async function failureOf(t: Test, proxyUrl: string, changes: { connectTimeoutMs?: number } = {}) {
  const pool = poolThrough(t, proxyUrl, changes)
  const url = new URL('https://upstream.test')
  const call = await new RecordedExchange(pool, url).over()
  t.same([call.sent, call.causes.length, call.settlements], [0, 1, 1])
  t.match(pool.stats(), { connecting: 0, opened: 0 })
  return classifyFailure(call.cause, { url, phase: 'connecting' })
}

for (const kind of kinds) {
  for (const credentials of [undefined, 'me:p:w']) {
    const rules = { certificate: ofProxy, ...(credentials === undefined ? {} : { credentials }) }
    const title = credentials === undefined ? kind : `${kind} with credentials`

    t.test(`${title}: the budget holds, and connections are reused`, async (t) => {
      const upstream = await CountingUpstream.start(t)
      const proxy = await CountingProxy.start(t, kind, rules)
      proxy.ceiling = 3
      const pool = poolThrough(t, proxy.url, { max: 3 })
      for (let round = 0; round < 40; round++) {
        const calls = Array.from({ length: 3 }, () => new RecordedExchange(pool, named(upstream)))
        for (const call of calls) t.equal((await call.over()).text, 'ok')
      }
      t.equal(proxy.max, 3)
      t.same(proxy.targets, Array(3).fill(`upstream.test:${upstream.url.port}`))
      t.ok(pool.stats().reused / upstream.requests >= 0.95)
      await pool.trim(0)
      await Promise.all([proxy.empty(), upstream.empty()])
      t.same([proxy.open, upstream.open], [0, 0], 'the FIN went all the way')
    })
  }

  t.test(`${kind}: an upstream with TLS shows its own certificate`, async (t) => {
    const upstream = await CountingUpstream.start(t, undefined, ofUpstream)
    const proxy = await CountingProxy.start(t, kind, { certificate: ofProxy })
    const pool = poolThrough(t, proxy.url, { max: 1 })
    for (let i = 0; i < 3; i++) {
      t.equal((await new RecordedExchange(pool, named(upstream)).over()).text, 'ok')
      t.equal((await new RecordedExchange(pool, named(upstream)).over()).text, 'ok')
      await pool.trim(0)
      await Promise.all([proxy.empty(), upstream.empty()]) // a TLS socket ends a moment after its FIN
      t.same([proxy.open, upstream.open], [0, 0])
    }
    t.match(pool.stats(), { opened: 3, reused: 3 })
    t.equal(upstream.resumed, 2, 'TLS sessions are resumed')
    const other = new URL(`https://other.test:${upstream.url.port}`)
    const wrong = await new RecordedExchange(pool, other).over()
    t.match(wrong.cause, { code: 'ERR_TLS_CERT_ALTNAME_INVALID' }, 'and of the right host')
    await proxy.empty()
  })

  t.test(`${kind}: a storm of clients that leave never exceeds the budget`, async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      response.write('begun')
      setImmediate(() => response.end())
    })
    const proxy = await CountingProxy.start(t, kind, { certificate: ofProxy, isDribbling: true })
    proxy.ceiling = 4
    const pool = poolThrough(t, proxy.url, { max: 4 })
    const runs = Array.from({ length: 4 }, async (_, lane) => {
      for (let i = 0; i < 25; i++) {
        const call = new RecordedExchange(pool, named(upstream))
        if (i % 3 === 0) setTimeout(() => call.abort(), (i * 7 + lane) % 12)
        await call.over()
        t.equal(call.settlements, 1)
      }
    })
    await Promise.all(runs)
    t.ok(proxy.max <= 4, `${proxy.max} at once`)
    await pool.trim(0)
    await proxy.empty()
    await upstream.empty()
    t.match(pool.stats(), { busy: 0, idle: 0, connecting: 0, closing: 0 })
  })

  t.test(`${kind}: a refusal names the proxy and the setting, and no secret`, async (t) => {
    const proxy = await CountingProxy.start(t, kind, { certificate: ofProxy, credentials: 'a:b' })
    const name = `${kind}://127.0.0.1:${proxy.port}`
    const missing = await failureOf(t, name)
    t.equal(missing.code, 'GW_PROXY_REFUSED')
    t.match(missing.message, `The proxy of VPN_PROXY_URL requires a user and a password`)
    const refused = await failureOf(t, `${kind}://joe:hunter2@127.0.0.1:${proxy.port}`)
    t.equal(refused.code, 'GW_PROXY_REFUSED')
    t.match(refused.message, /rejects the configured user and password .*VPN_PROXY_URL/)
    t.notMatch(
      JSON.stringify([refused.message, refused.detail, String(refused.cause)]),
      /joe|hunter2/
    )
    await proxy.empty()
  })

  t.test(`${kind}: a host that the proxy does not allow`, async (t) => {
    const proxy = await CountingProxy.start(t, kind, { certificate: ofProxy })
    const pool = poolThrough(t, proxy.url)
    const url = new URL('https://forbidden.test')
    const { cause } = await new RecordedExchange(pool, url).over()
    const error = classifyFailure(cause, { url, phase: 'connecting' })
    t.equal(error.code, 'GW_UPSTREAM_CONNECT')
    t.match(error.message, /refuses to connect to the upstream .*NO_PROXY/)
  })

  t.test(`${kind}: a client that leaves during the handshake`, async (t) => {
    const accepted: (() => void)[] = []
    const proxy = await oddProxy(t, kind, (socket) => {
      socket.once('data', () => accepted.shift()?.())
    })
    const pool = poolThrough(t, proxy.url, { max: 1 })
    await inTime(t, SETTLE_MS, async () => {
      const greeted = new Promise<void>((resolve) => accepted.push(resolve))
      const call = new RecordedExchange(pool, new URL('https://upstream.test'))
      await greeted
      const leftAt = performance.now()
      call.abort()
      await call.over()
      t.same([call.causes.length, call.settlements], [1, 1])
      return performance.now() - leftAt
    })
    t.equal(pool.stats().connecting, 0)
    while (proxy.sockets.size > 0) await new Promise(setImmediate) // the proxy notices, or the time is up
  })

  t.test(`${kind}: a proxy that says nothing is given up in time`, async (t) => {
    const proxy = await oddProxy(t, kind, (socket) => socket.resume())
    const error = await failureOf(t, proxy.url, { connectTimeoutMs: 40 })
    t.equal(error.code, 'GW_UPSTREAM_CONNECT_TIMEOUT')
    t.match(error.message, `The proxy of VPN_PROXY_URL`)
    t.match(error.message, 'HTTP_CONNECT_TIMEOUT')
  })

  t.test(`${kind}: a proxy that closes or resets instead of an answer`, async (t) => {
    for (const verb of ['end', 'resetAndDestroy'] as const) {
      const proxy = await oddProxy(t, kind, (socket) => socket.once('data', () => socket[verb]()))
      const error = await failureOf(t, proxy.url)
      t.equal(error.code, 'GW_UPSTREAM_CONNECT', verb)
      t.match(error.message, `The proxy of VPN_PROXY_URL closed the connection`, verb)
    }
  })

  t.test(`${kind}: nobody listens at the proxy's port`, async (t) => {
    const error = await failureOf(t, `${kind}://127.0.0.1:${await freePort()}`)
    t.equal(error.code, 'GW_UPSTREAM_CONNECT')
    t.match(error.message, /refused the connection \(ECONNREFUSED\).*VPN_PROXY_URL/)
  })

  t.test(`${kind}: a server of something else`, async (t) => {
    const proxy = await oddProxy(t, kind, (socket) => socket.write('SSH-2.0-OpenSSH_9.9\r\n'))
    const error = await failureOf(t, proxy.url)
    t.equal(error.code, kind === 'https' ? 'GW_UPSTREAM_TLS' : 'GW_UPSTREAM_CONNECT')
    t.match(error.message, `The proxy of VPN_PROXY_URL does not`)
  })
}

t.test('a proxy whose name does not exist', async (t) => {
  const error = await failureOf(t, 'http://no-such-proxy.invalid:3128')
  t.equal(error.code, 'GW_UPSTREAM_DNS')
  t.match(error.message, 'The proxy of VPN_PROXY_URL')
})

t.test('an https proxy that nobody vouches for', async (t) => {
  const proxy = await CountingProxy.start(t, 'https', { certificate: ofUpstream })
  const error = await failureOf(t, proxy.url)
  t.equal(error.code, 'GW_UPSTREAM_TLS')
  t.match(error.message, `The proxy of VPN_PROXY_URL presented an untrusted certificate`)
  t.same(proxy.targets, [])
})

t.test('a head without end', async (t) => {
  const proxy = await oddProxy(t, 'http', (socket) => {
    socket.once('data', () => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(20_000)}`))
  })
  const error = await failureOf(t, proxy.url)
  t.equal(error.code, 'GW_UPSTREAM_CONNECT')
  t.match(error.message, /does not answer like a proxy.*16384 bytes/)
})

t.test('an upstream that the proxy cannot reach', async (t) => {
  const proxy = await oddProxy(t, 'http', (socket) => {
    socket.once('data', () => socket.end('HTTP/1.1 502 Bad Gateway\r\n\r\n<html>'))
  })
  const error = await failureOf(t, proxy.url)
  t.match(error.message, /could not connect to the upstream \(HTTP 502\)/)
})

t.test('what the upstream says right behind the answer of the proxy is not lost', async (t) => {
  for (const [scheme, answers] of [
    ['http', ['HTTP/1.1 200 OK\r\n\r\nhello']],
    ['socks5', ['\x05\x00', '\x05\x00\x00\x01abcdefhello']]
  ] as const) {
    const proxy = await oddProxy(t, scheme, (socket) => {
      const left = [...answers]
      socket.on('data', () => socket.write(left.shift() ?? '', 'latin1'))
    })
    const attempt = openSocket({
      origin: new URL('http://upstream.test'),
      proxy: proxyOf(settingsOf(proxy.url)),
      resolveHost: () => Promise.reject(new Error('a name was looked up')),
      timeoutMs: 2000,
      tlsSessions: new Map()
    })
    const socket = await attempt.ready
    t.equal(socket, attempt.transport)
    const [said] = await new Promise<Buffer[]>((resolve) =>
      socket.once('data', (b) => resolve([b]))
    )
    t.equal(String(said), 'hello', scheme)
    attempt.giveUp()
  }
})

t.test('a host in NO_PROXY is called directly', async (t) => {
  const upstream = await CountingUpstream.start(t)
  const proxy = await CountingProxy.start(t, 'http')
  const settings = settingsOf(proxy.url, `localhost, 127.0.0.1:${upstream.url.port}`)
  const pool = connectionPool(t, { chooseProxy: chooseProxy(settings) })
  t.equal((await new RecordedExchange(pool, upstream.url).over()).text, 'ok')
  t.same(proxy.sockets, [])
  t.equal((await new RecordedExchange(pool, named(upstream)).over()).text, 'ok')
  t.equal(proxy.sockets.length, 1)
})

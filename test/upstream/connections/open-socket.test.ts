import { readFileSync } from 'node:fs'
import type { RequestListener } from 'node:http'
import { connect, createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import t, { type Test } from 'tap'
import { openSocket } from '../../../src/upstream/connections/open-socket.ts'
import { alivePeers } from '../../chaos/kernel-view.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { inTime, SETTLE_MS } from '../../helper/in-time.ts'
import { connectionPool, RecordedExchange } from '../../helper/recorded-exchange.ts'
import { selfSignedCertificate } from '../../helper/self-signed-certificate.ts'
import { serverUrl } from '../../helper/server-url.ts'

const certificate = selfSignedCertificate()
/** Addresses in URLs are not looked up. */
const resolveHost = (): Promise<never> => Promise.reject(new Error('a name was looked up'))

/** Timers of `tr` in /proc/net/tcp, which counts in 1/100 s. */
const KERNEL_TIMERS: Readonly<Record<string, string>> = { '00': 'none', '02': 'keep-alive' }

/** What the kernel waits for on this connection; only both of its ends tell it from others, which may share a port. */
function kernelTimer({ localPort = 0, remotePort = 0 }: Socket) {
  const [near, far] = [localPort, remotePort].map(
    (port) => `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')}`
  )
  const lines = readFileSync('/proc/net/tcp', 'utf8').split('\n')
  const fields = lines.map((line) => line.trim().split(/\s+/))
  const [timer = '', when = ''] =
    fields.find(([, local, remote]) => local === near && remote === far)?.[5]?.split(':') ?? []
  return { timer: KERNEL_TIMERS[timer], inSeconds: parseInt(when, 16) / 100 }
}

/** Passes on everything but the FIN of the server, as a proxy does that has not seen it yet. */
async function relayWithoutFins(t: Test, serverPort: number): Promise<number> {
  const relay = createServer({ allowHalfOpen: true }, (client) => {
    const server = connect({ port: serverPort, host: '127.0.0.1', allowHalfOpen: true })
    client.pipe(server).pipe(client, { end: false })
    client.on('error', () => server.destroy())
    t.teardown(() => {
      client.destroy()
      server.destroy()
    })
  })
  t.teardown(() => relay.close())
  return Number((await serverUrl(relay)).port)
}

t.test('openSocket()', (t) => {
  t.test('resolves when the socket can be written to', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const { transport, ready } = openSocket({
      origin: upstream.url,
      proxy: null,
      resolveHost,
      timeoutMs: 2000,
      tlsSessions: new Map()
    })
    const socket = await ready
    t.equal(socket, transport)
    t.equal(socket.readyState, 'open')
    socket.destroy()
    await upstream.empty()
  })

  t.test(
    'has the kernel ask after 15 silent seconds whether the peer is still there',
    async (t) => {
      const upstream = await CountingUpstream.start(t)
      const { transport, ready } = openSocket({
        origin: upstream.url,
        proxy: null,
        resolveHost,
        timeoutMs: 2000,
        tlsSessions: new Map()
      })
      await ready
      const { timer, inSeconds } = kernelTimer(transport)
      t.equal(timer, 'keep-alive')
      t.ok(inSeconds > 0 && inSeconds <= 15, `in ${inSeconds} s`)
      transport.destroy()
      await upstream.empty()
    }
  )

  t.test('takes an IPv6 address as URLs write it', async (t) => {
    const server = createServer((socket) => void socket.resume())
    const url = await serverUrl(server)
    t.teardown(() => server.close())
    const { transport, ready } = openSocket({
      origin: new URL(`http://[::ffff:127.0.0.1]:${url.port}`),
      proxy: null,
      resolveHost,
      timeoutMs: 2000,
      tlsSessions: new Map()
    })
    await t.resolves(ready)
    transport.destroy()
  })

  t.test('rejects when it is destroyed before', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const { transport, ready } = openSocket({
      origin: upstream.url,
      proxy: null,
      resolveHost,
      timeoutMs: 2000,
      tlsSessions: new Map()
    })
    transport.destroy()
    await t.rejects(ready, { code: 'ECONNRESET', message: 'closed while connecting' })
  })

  t.test('rejects when the peer closes in the middle of the handshake', async (t) => {
    const server = createServer((socket) => void socket.end())
    const origin = await serverUrl(server, 'https')
    t.teardown(() => server.close())
    const { transport, ready } = openSocket({
      origin,
      proxy: null,
      resolveHost,
      timeoutMs: 2000,
      tlsSessions: new Map()
    })
    await t.rejects(ready, { code: 'ECONNRESET' })
    t.equal(transport.destroyed, true)
  })

  t.test('rejects when the peer speaks no TLS', async (t) => {
    const { url } = await CountingUpstream.start(t)
    const origin = new URL(`https://127.0.0.1:${url.port}`)
    const { ready } = openSocket({
      origin,
      proxy: null,
      resolveHost,
      timeoutMs: 2000,
      tlsSessions: new Map()
    })
    await t.rejects(ready, { code: /EPROTO|ERR_SSL/ })
  })
  t.end()
})

t.test('an upstream with TLS', (t) => {
  t.test('is refused if nobody vouches for it', async (t) => {
    const upstream = await CountingUpstream.start(t, undefined, certificate)
    const pool = connectionPool(t)
    const call = await new RecordedExchange(pool, upstream.url).over()
    t.match(call.cause, { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
    t.same([call.sent, call.causes.length, call.settlements], [0, 1, 1])
    await upstream.empty()
    t.match(pool.stats(), { connecting: 0, opened: 0 })
  })

  t.test('is used when its CA is given, and its sessions are resumed', async (t) => {
    const upstream = await CountingUpstream.start(t, undefined, certificate)
    const pool = connectionPool(t, { ca: certificate.cert })
    for (let i = 0; i < 4; i++) {
      const call = await new RecordedExchange(pool, upstream.url).over()
      t.equal(call.text, 'ok')
      await pool.trim(0)
    }
    t.equal(upstream.resumed, 3)
    t.equal(upstream.max, 1)
  })

  t.test(
    'may close a reused connection before its answer: the request is sent once more',
    async (t) => {
      const upstream = await CountingUpstream.start(t, undefined, certificate)
      const pool = connectionPool(t, { ca: certificate.cert })
      await new RecordedExchange(pool, upstream.url).over()
      let breaks = 1
      upstream.onRequest = (request, response) => {
        if (breaks-- > 0) request.socket.end()
        else response.end('second')
      }
      const call = await new RecordedExchange(pool, upstream.url).over()
      t.equal(call.text, 'second')
      t.same([call.sent, call.ends, call.settlements], [2, 1, 1])
    }
  )

  t.test('may not, after a byte of it', async (t) => {
    const upstream = await CountingUpstream.start(t, undefined, certificate)
    const pool = connectionPool(t, { ca: certificate.cert })
    await new RecordedExchange(pool, upstream.url).over()
    upstream.onRequest = ({ socket }) => socket.end('HTTP/1.1 2')
    const call = await new RecordedExchange(pool, upstream.url).over()
    t.same([call.sent, call.causes.length, call.settlements], [1, 1, 1])
  })

  for (const first of ['we', 'it'] as const) {
    t.test(`is gone for a proxy that its FIN has not reached, when ${first} closes`, async (t) => {
      let peer: Duplex | undefined
      const answer: RequestListener = (request, response) => {
        peer = request.socket
        response.end('ok')
      }
      const upstream = await CountingUpstream.start(t, answer, certificate)
      const port = await relayWithoutFins(t, Number(upstream.url.port))
      const { promise: closed, resolve: onConnectionClosed } = Promise.withResolvers<number>()
      const pool = connectionPool(t, { ca: certificate.cert, onConnectionClosed })
      await new RecordedExchange(pool, new URL(`https://127.0.0.1:${port}`)).over()
      t.equal(alivePeers(port).size, 1)
      if (first === 'we') void pool.trim(0)
      else peer?.end()
      await closed
      t.equal(alivePeers(port).size, 0)
    })
  }

  t.test('sees a client leave in the middle of a flood', async (t) => {
    const chunk = Buffer.alloc(256 * 1024)
    const upstream = await CountingUpstream.start(
      t,
      (_request, response) => {
        const write = (): void => void (response.destroyed || response.write(chunk, write))
        write()
      },
      certificate
    )
    const pool = connectionPool(t, { ca: certificate.cert })
    await inTime(t, SETTLE_MS, async () => {
      const { promise, resolve } = Promise.withResolvers<void>()
      const call: RecordedExchange = new RecordedExchange(pool, upstream.url, {
        onChunk: () => {
          call.exchange.pause()
          resolve()
        }
      })
      await promise
      const leftAt = performance.now()
      call.abort()
      await call.over()
      const tookMs = performance.now() - leftAt
      await upstream.empty()
      return tookMs
    })
    t.match(pool.stats(), { busy: 0, closing: 0 })
  })
  t.end()
})

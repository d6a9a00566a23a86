import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer as createHttpsServer } from 'node:https'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { Exchange } from '../../src/upstream/call/exchange.ts'
import { ConnectionPool } from '../../src/upstream/connections/pool.ts'

const folder = mkdtempSync(join(tmpdir(), 'gateway-tls-'))
t.teardown(() => rmSync(folder, { recursive: true }))
const keyFile = join(folder, 'key.pem')
const certFile = join(folder, 'cert.pem')
const openssl =
  'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost'
execFileSync('openssl', [...openssl.split(' '), '-keyout', keyFile, '-out', certFile])
const tls = { key: readFileSync(keyFile, 'utf8'), cert: readFileSync(certFile, 'utf8') }

/** An HTTPS upstream behind a relay that never passes on a FIN of the client: only a reset ends a connection. */
async function startDeafUpstream() {
  const upstream = createHttpsServer(tls, (request, response) => {
    request.resume()
    if (request.url === '/endless') response.write('begun')
    else response.end('whole')
  })
  const sockets = new Set<Socket>()
  const resets: string[] = []
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  const relay = createTcpServer({ allowHalfOpen: true }, (client) => {
    const server = connect((upstream.address() as AddressInfo).port, '127.0.0.1')
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('close', () => sockets.delete(socket))
    }
    client.on('error', (error: NodeJS.ErrnoException) => resets.push(error.code ?? ''))
    client.on('close', () => server.destroy())
    server.on('error', () => {})
    client.on('data', (chunk) => server.write(chunk))
    server.on('data', (chunk) => client.write(chunk))
  })
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  const close = (): void => {
    for (const socket of sockets) socket.destroy()
    relay.close()
    upstream.close()
    upstream.closeAllConnections()
  }
  return { url: `https://localhost:${(relay.address() as AddressInfo).port}`, resets, close }
}

interface Call {
  readonly settled: Promise<void>
  readonly outcome: Promise<string>
  readonly began: Promise<void>
  readonly abort: AbortController
}

function call(pool: ConnectionPool, url: string): Call {
  const settled = Promise.withResolvers<void>()
  const outcome = Promise.withResolvers<string>()
  const began = Promise.withResolvers<void>()
  const abort = new AbortController()
  void new Exchange({
    pool,
    request: { url: new URL(url), method: 'POST', headers: {}, body: '{}', bodyTimeoutMs: 5000 },
    signal: abort.signal,
    permit: { release: settled.resolve },
    reader: {
      onSent: () => {},
      onHeaders: () => {},
      onChunk: () => began.resolve(),
      onEnd: () => outcome.resolve('whole'),
      onError: (cause) => outcome.resolve(String(cause))
    }
  })
  return { settled: settled.promise, outcome: outcome.promise, began: began.promise, abort }
}

t.test('a TLS connection whose peer does not answer our FIN is reset', async (t) => {
  const upstream = await startDeafUpstream()
  t.teardown(upstream.close)
  const limits = { maxSockets: () => 4, maxIdle: () => 4 }
  const pool = new ConnectionPool({
    limits,
    chooseProxy: () => null,
    connectTimeoutMs: 5000,
    keepaliveExpiryMs: null,
    ca: tls.cert
  })
  t.teardown(() => pool.close())

  t.test('after its client has left', async (t) => {
    const given = call(pool, `${upstream.url}/endless`)
    await given.began
    given.abort.abort(new Error('left'))
    t.equal(await given.outcome, 'Error: left')
    await given.settled
    t.match(pool.stats(), { busy: 0, idle: 0, closing: 0, closed: { abandoned: 1 } })
  })

  t.test('when its permit is wanted elsewhere', async (t) => {
    const given = call(pool, `${upstream.url}/`)
    t.equal(await given.outcome, 'whole')
    await given.settled
    t.equal(pool.stats().idle, 1)
    await pool.trim(0)
    t.match(pool.stats(), { idle: 0, closing: 0, closed: { reclaimed: 1 } })
  })

  t.ok(upstream.resets.every((code) => code === 'ECONNRESET'))
})

t.test('TLS connections', async (t) => {
  const upstream = createHttpsServer(tls, (request, response) => {
    request.resume()
    response.end('whole')
  })
  await new Promise<void>((resolve) => upstream.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    upstream.close()
    upstream.closeAllConnections()
  })
  const url = `https://localhost:${(upstream.address() as AddressInfo).port}/`
  const limits = { maxSockets: () => 1, maxIdle: () => 1 }
  const pool = new ConnectionPool({
    limits,
    chooseProxy: () => null,
    connectTimeoutMs: 5000,
    keepaliveExpiryMs: null,
    ca: tls.cert
  })
  t.teardown(() => pool.close())

  t.test('are reused, and closed politely', async (t) => {
    for (let i = 0; i < 3; i++) {
      const given = call(pool, url)
      t.equal(await given.outcome, 'whole')
      await given.settled
    }
    t.match(pool.stats(), { opened: 1, reused: 2 })
    await pool.trim(0)
    t.equal(pool.stats().closing, 0)
  })

  t.test('resume their sessions', async (t) => {
    let resumed = 0
    upstream.on('secureConnection', (socket) => {
      if (socket.isSessionReused()) resumed += 1
    })
    for (let i = 0; i < 5; i++) {
      const given = call(pool, url)
      t.equal(await given.outcome, 'whole')
      await given.settled
      await pool.trim(0)
    }
    t.equal(resumed, 5)
  })
})

import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t, { type Test } from 'tap'
import { renewOnce, type RenewalOutcome } from '../../src/credentials/renew.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { exchangeJson, type JsonCall } from '../../src/upstream/call/json-exchange.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakeAuthServer } from '../helper/fake-auth-server.ts'
import { FakeClock } from '../helper/fake-clock.ts'
import { connectionPool } from '../helper/recorded-exchange.ts'
import { storedCredential } from '../helper/stored-credential.ts'

const desktop = storedCredential({ refreshToken: 'r1' })

/** Presents `r1` at this address, on connections of one pool. */
function presenter(t: Test) {
  const pool = connectionPool(t)
  const call: JsonCall = (request, signal) =>
    exchangeJson({
      pool,
      request,
      signal: AbortSignal.any([signal, AbortSignal.timeout(5000)]),
      permit: { release: () => {} },
      onSent: () => request.onSent?.()
    })
  const present = (authUrl: string, changed: { call?: JsonCall } = {}): Promise<RenewalOutcome> =>
    renewOnce(desktop, {
      call,
      clock: new FakeClock('2026-09-01T00:00:00Z'),
      upstream: {
        apiUrl: null,
        managementUrl: null,
        authUrl,
        oidcUrl: authUrl,
        userAgent: 'kiro-gateway/1'
      },
      loginHint: 'Log in again.',
      leaving: new AbortController().signal,
      ...changed
    })
  return { pool, call, present }
}

t.test('renewOnce() knows of an answer whether the refresh token may be spent', async (t) => {
  const server = await new FakeAuthServer().listen()
  t.teardown(() => server.close())
  const { present } = presenter(t)
  const html = { 'content-type': 'text/html' }
  const spent = { body: '' }
  const answers: readonly (readonly [RenewalOutcome['type'], number, object])[] = [
    ['refused', 401, { body: { message: 'Bad credentials' } }],
    ['refused', 400, { body: { error: 'invalid_grant' } }],
    ['unspent', 400, { body: { error: 'invalid_request' } }],
    ['unspent', 403, { body: '<html>', headers: html }],
    ['unspent', 404, spent],
    ['unspent', 423, spent],
    ['unspent', 429, spent],
    ['unspent', 503, { body: { error: 'slow_down' } }],
    ['unspent', 500, { body: { __type: 'ThrottlingException' } }],
    // What is said by those who have lost the service's answer, or by a service that has failed half way.
    ['unknown', 408, spent],
    ['unknown', 499, spent],
    ...[500, 502, 503, 504, 507, 520, 521, 522, 523, 524, 529, 530].map(
      (status) => ['unknown', status, spent] as const
    ),
    ['unknown', 500, { body: { message: 'temporarily is suspended' } }],
    ['unknown', 200, spent],
    ['unknown', 202, spent],
    ['unknown', 204, spent],
    ['unknown', 302, spent]
  ]
  for (const [type, status, reply] of answers) {
    server.replies.push({ status, body: '', ...reply })
    t.equal((await present(server.url)).type, type, `HTTP ${status} ${JSON.stringify(reply)}`)
  }
  t.equal((await present(server.url)).type, 'renewed')
})

t.test('renewOnce() knows of a failure whether anything was sent', async (t) => {
  const { present, call } = presenter(t)
  await t.test('nothing listens', async (t) => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    await new Promise((resolve) => server.close(resolve))
    t.equal((await present(`http://127.0.0.1:${port}`)).type, 'unspent')
  })
  await t.test('no TLS there', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => response.end())
    const url = upstream.url.href.replace('http:', 'https:').replace(/\/$/, '')
    t.equal((await present(url)).type, 'unspent')
  })
  await t.test('there is no room to wait in', async (t) => {
    const error = new GatewayError('GW_QUEUE_FULL')
    const outcome = await present('http://127.0.0.1:1', { call: () => Promise.reject(error) })
    t.equal(outcome.type, 'unspent')
  })
  await t.test('it is read, and the connection closed', async (t) => {
    const upstream = await CountingUpstream.start(t, (request) => request.socket.destroy())
    t.equal((await present(upstream.url.origin)).type, 'unknown')
  })
  for (const code of ['EHOSTUNREACH', 'ENETUNREACH', 'ERR_SSL_DECRYPTION_FAILED'])
    await t.test(`${code} when it was sent`, async (t) => {
      const upstream = await CountingUpstream.start(t, () => {})
      const failure = Object.assign(new Error('the network is gone'), { code })
      const broken: JsonCall = (request, signal) => {
        const cut = new AbortController()
        const onSent = (): void => {
          request.onSent?.()
          setImmediate(() => cut.abort(failure))
        }
        return call({ ...request, onSent }, AbortSignal.any([signal, cut.signal]))
      }
      t.equal((await present(upstream.url.origin, { call: broken })).type, 'unknown')
    })
})

t.test('a refresh token goes out once, also where the last connection was closed', async (t) => {
  let tokens = 0
  let isClosing = false
  const upstream = await CountingUpstream.start(t, (request, response) => {
    tokens += 1
    if (isClosing) request.socket.destroy()
    else response.writeHead(429).end()
  })
  const { present, pool } = presenter(t)
  t.equal((await present(upstream.url.origin)).type, 'unspent')
  await new Promise(setImmediate)
  t.match(pool.stats(), { idle: 1 })
  isClosing = true
  t.equal((await present(upstream.url.origin)).type, 'unknown')
  t.equal(tokens, 2)
})

import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { Client } from 'undici'
import { type ErrorCode, GatewayError } from '../../src/shared/errors.ts'
import {
  type CallPhase,
  classifyFailure,
  type FailureContext,
  isConnectFailure
} from '../../src/upstream/classify.ts'
import { freePort } from '../helper/free-port.ts'

const context: FailureContext = { url: 'https://host.example/path?q=1', phase: 'connecting' }

t.test('classifyFailure() tells real failures apart', (t) => {
  t.test('a host name that does not exist', async (t) => {
    const error = await failure(t, 'http://kiro-upstream.invalid', 'connecting')
    t.equal(error.code, 'GW_UPSTREAM_DNS')
    t.match(error.message, 'The upstream could not be resolved')
    t.match(error.message, /DNS.*KIRO_API_URL/)
  })
  t.test('a port where nobody listens', async (t) => {
    const error = await failure(t, `http://127.0.0.1:${await freePort()}`, 'connecting')
    t.equal(error.code, 'GW_UPSTREAM_CONNECT')
    t.match(error.message, 'The upstream refused the connection (ECONNREFUSED')
  })
  t.test('both addresses of a name refused', async (t) => {
    const error = await failure(t, 'http://localhost:1', 'connecting')
    t.equal(error.code, 'GW_UPSTREAM_CONNECT')
  })
  t.test('a server that does not speak TLS', async (t) => {
    const port = await listen(t, (socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n'))
    const error = await failure(t, `https://127.0.0.1:${port}`, 'connecting')
    t.equal(error.code, 'GW_UPSTREAM_TLS')
    t.match(error.message, 'does not speak TLS')
    t.match(error.message, 'http:// instead of https:// in KIRO_API_URL')
  })
  t.test('a handshake that never ends', async (t) => {
    const port = await listen(t, () => {})
    const error = await failure(t, `https://127.0.0.1:${port}`, 'connecting')
    t.equal(error.code, 'GW_UPSTREAM_CONNECT_TIMEOUT')
    t.match(error.message, 'HTTP_CONNECT_TIMEOUT')
  })
  t.test('a reset instead of an answer', async (t) => {
    const port = await listen(t, (socket) => socket.on('data', () => socket.resetAndDestroy()))
    const error = await failure(t, `http://127.0.0.1:${port}`, 'sent')
    t.equal(error.code, 'GW_UPSTREAM_RESET')
    t.match(error.message, 'while waiting for the answer')
  })
  t.test('a FIN instead of an answer', async (t) => {
    const port = await listen(t, (socket) => socket.on('data', () => socket.end()))
    const error = await failure(t, `http://127.0.0.1:${port}`, 'sent')
    t.equal(error.code, 'GW_UPSTREAM_RESET')
    t.match(error.message, 'UND_ERR_SOCKET')
  })
  t.test('a reset, and a FIN, in the middle of an answer', async (t) => {
    for (const verb of ['resetAndDestroy', 'end'] as const) {
      const port = await listen(t, (socket) =>
        socket.on('data', () => {
          socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf', () => socket[verb]())
        })
      )
      const error = await failure(t, `http://127.0.0.1:${port}`, 'headers')
      t.equal(error.code, 'GW_UPSTREAM_RESET', verb)
      t.match(error.message, 'while reading the answer', verb)
    }
  })
  t.test('an answer that does not begin', async (t) => {
    const port = await listen(t, () => {})
    const error = await failure(t, `http://127.0.0.1:${port}`, 'sent')
    t.equal(error.code, 'GW_UPSTREAM_HEADERS_TIMEOUT')
    t.match(error.message, 'FIRST_TOKEN_TIMEOUT')
  })
  t.test('an answer that falls silent', async (t) => {
    const port = await listen(t, (socket) =>
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf'))
    )
    const error = await failure(t, `http://127.0.0.1:${port}`, 'headers')
    t.equal(error.code, 'GW_UPSTREAM_IDLE_TIMEOUT')
    t.match(error.message, 'STREAMING_READ_TIMEOUT')
  })
  t.test('a server of another protocol', async (t) => {
    const port = await listen(t, (socket) => socket.write('SSH-2.0-OpenSSH_9.9\r\n'))
    const error = await failure(t, `http://127.0.0.1:${port}`, 'sent')
    t.equal(error.code, 'GW_UPSTREAM_STATUS')
    t.match(error.message, 'not HTTP')
  })
  t.end()
})

t.test('classifyFailure()', (t) => {
  t.test('asks the client’s signal first, whatever failed', (t) => {
    const client = new AbortController()
    const asked = { ...context, clientSignal: client.signal }
    t.equal(classifyFailure(coded('ECONNRESET'), asked).code, 'GW_UPSTREAM_RESET')
    client.abort()
    t.equal(classifyFailure(coded('ECONNRESET'), asked).code, 'GW_CLIENT_CLOSED')
    t.equal(classifyFailure(new GatewayError('GW_POOL_TIMEOUT'), asked).code, 'GW_CLIENT_CLOSED')
    t.end()
  })
  t.test('takes the reason of an abort that is an error of ours', (t) => {
    const reason = new GatewayError('GW_DRAINING')
    const clientSignal = AbortSignal.abort(reason)
    t.equal(classifyFailure(coded('x'), { ...context, clientSignal }), reason)
    t.end()
  })
  t.test('looks through causes and aggregates, also cyclic ones', (t) => {
    const inner = new AggregateError([new Error('x'), coded('ECONNREFUSED')])
    const outer = new TypeError('fetch failed', { cause: inner })
    Object.assign(inner, { cause: outer })
    const error = classifyFailure(outer, context)
    t.equal(error.code, 'GW_UPSTREAM_CONNECT')
    t.notMatch(error.message, 'fetch failed')
    t.equal(error.cause, outer)
    t.end()
  })
  t.test('leaves an error of ours as it is, also inside another', (t) => {
    const ours = new GatewayError('GW_POOL_TIMEOUT')
    t.equal(classifyFailure(ours, context), ours)
    t.equal(classifyFailure(new Error('x', { cause: ours }), context), ours)
    t.end()
  })
  t.test(
    'tells the client the setting that names the host, and the origin to the log alone',
    (t) => {
      const error = classifyFailure(coded('ENOTFOUND'), { ...context, setting: 'KIRO_OIDC_URL' })
      t.notMatch(error.message, /host\.example|path/)
      t.match(error.detail, 'https://host.example')
      t.notMatch(error.detail, 'path')
      t.match(error.message, 'KIRO_OIDC_URL')
      t.end()
    }
  )
  t.test('reads the same code by phase', (t) => {
    t.same(codesByPhase(coded('ETIMEDOUT')), [
      'GW_UPSTREAM_CONNECT_TIMEOUT',
      'GW_UPSTREAM_RESET',
      'GW_UPSTREAM_RESET'
    ])
    t.same(codesByPhase(new DOMException('late', 'TimeoutError')), [
      'GW_UPSTREAM_CONNECT_TIMEOUT',
      'GW_UPSTREAM_HEADERS_TIMEOUT',
      'GW_UPSTREAM_IDLE_TIMEOUT'
    ])
    t.end()
  })
  t.test('takes no failure of an open connection for one to connect', (t) => {
    for (const code of ['EHOSTUNREACH', 'ECONNREFUSED', 'EPROTO', 'ERR_SSL_DECRYPTION_FAILED']) {
      const [connecting, ...later] = codesByPhase(coded(code))
      t.ok(isConnectFailure(new GatewayError(connecting ?? 'GW_INTERNAL')), code)
      t.same(later, ['GW_UPSTREAM_RESET', 'GW_UPSTREAM_RESET'], code)
    }
    const alert = coded('ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED')
    t.match(classifyFailure(alert, { ...context, phase: 'sent' }).message, /client certificate/)
    t.end()
  })
  t.test('knows the codes that cannot be provoked here', (t) => {
    const table = {
      EAI_AGAIN: 'GW_UPSTREAM_DNS',
      EHOSTUNREACH: 'GW_UPSTREAM_CONNECT',
      EMFILE: 'GW_UPSTREAM_CONNECT',
      EPIPE: 'GW_UPSTREAM_RESET',
      EPROTO: 'GW_UPSTREAM_TLS',
      CERT_HAS_EXPIRED: 'GW_UPSTREAM_TLS',
      UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'GW_UPSTREAM_TLS',
      DEPTH_ZERO_SELF_SIGNED_CERT: 'GW_UPSTREAM_TLS',
      ERR_TLS_CERT_ALTNAME_INVALID: 'GW_UPSTREAM_TLS',
      ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION: 'GW_UPSTREAM_TLS'
    }
    for (const [code, expected] of Object.entries(table)) {
      t.equal(classifyFailure(coded(code), context).code, expected, code)
    }
    const old = coded('EPROTO', 'error:0A00010B:SSL routines::wrong version number')
    t.match(classifyFailure(old, context).message, 'does not speak TLS')
    t.end()
  })
  t.test('calls what it does not know an internal failure and keeps the cause for the log', (t) => {
    for (const cause of [new Error('secret'), coded('toString'), 'text', null]) {
      const error = classifyFailure(cause, context)
      t.equal(error.code, 'GW_INTERNAL')
      t.notMatch(error.message, 'secret')
    }
    t.end()
  })
  t.end()
})

t.test('isConnectFailure() is true only if the host was not reached', (t) => {
  t.ok(isConnectFailure(new GatewayError('GW_UPSTREAM_DNS')))
  t.ok(isConnectFailure(new GatewayError('GW_UPSTREAM_TLS')))
  t.notOk(isConnectFailure(new GatewayError('GW_UPSTREAM_RESET')))
  t.end()
})

/** Starts a TCP server that does `onConnection`; its port. */
async function listen(t: Test, onConnection: (socket: Socket) => void): Promise<number> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    onConnection(socket)
  }).listen(0, '127.0.0.1')
  t.teardown(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** Makes a real call that has to fail. */
async function failure(t: Test, url: string, phase: CallPhase): Promise<GatewayError> {
  const client = new Client(url, {
    allowH2: false,
    headersTimeout: 50,
    bodyTimeout: 50,
    connect: { timeout: 50 }
  })
  t.teardown(() => client.destroy())
  const error = await client
    .request({ method: 'POST', path: '/', body: '{}' })
    .then(({ body }) => body.text())
    .then(
      () => new Error('the call succeeded'),
      (cause: unknown) => classifyFailure(cause, { url, phase })
    )
  t.type(error, GatewayError)
  return error as GatewayError
}

function coded(code: string, message = 'm'): Error {
  return Object.assign(new Error(message), { code })
}

function codesByPhase(cause: unknown): readonly ErrorCode[] {
  const phases = ['connecting', 'sent', 'headers'] as const
  return phases.map((phase) => classifyFailure(cause, { ...context, phase }).code)
}

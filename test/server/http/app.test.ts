import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary, type FakePrimaryOptions } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

t.setTimeout(300_000) // one wait takes ten seconds, on a machine that may be busy

const key = { authorization: 'Bearer good-key' }
const question = {
  model: 'claude-haiku-4.5',
  max_tokens: 10,
  messages: [{ role: 'user', content: 'hi' }]
}

async function setUp(t: Test, options: FakePrimaryOptions = {}) {
  const upstream = await CountingUpstream.start(t, (_request, response) => {
    response.write(textFrame('hello'))
    response.end(endFrame)
  })
  const primary = await FakePrimary.start(t, upstream.url, options)
  const ask = (path: string, init: RequestInit = {}) => fetch(`${primary.url}${path}`, init)
  const post = (path: string, body: unknown, headers: Record<string, string> = {}) =>
    ask(path, { method: 'POST', headers: { ...key, ...headers }, body: JSON.stringify(body) })
  return { upstream, primary, ask, post }
}

interface ErrorShape {
  readonly type?: string
  readonly request_id?: string
  readonly error: { readonly type: string; readonly message: string; readonly code?: string }
}

async function errorOf(response: Response): Promise<ErrorShape> {
  return (await response.json()) as ErrorShape
}

t.test('the routes for answers', async (t) => {
  const { ask, post, upstream } = await setUp(t)
  for (const path of [
    '/v1/chat/completions',
    '/v1/chat/completions/',
    '/v1//chat/completions',
    '/chat/completions',
    '/v1/messages',
    '/v1/messages?beta=true',
    '/v1/messages/?beta=true&x',
    '/messages',
    '/anthropic/v1/messages'
  ]) {
    const response = await post(path, question)
    t.equal(response.status, 200, path)
    t.match(await response.text(), /hello/)
  }
  // An answer's last words may be read before its connection is free again.
  t.ok(upstream.sockets.length <= 4, `${upstream.sockets.length} connections for nine answers`)
  const typed = [undefined, 'text/plain', 'application/json; charset=utf-8', 'nonsense', '']
  for (const contentType of typed) {
    const headers: Record<string, string> = { ...key, 'content-type': contentType ?? '' }
    const body = new TextEncoder().encode(JSON.stringify(question)) // fetch adds no type of its own to bytes
    if (contentType === undefined) delete headers['content-type']
    const response = await ask('/v1/messages', { method: 'POST', headers, body })
    t.equal(response.status, 200, `content-type ${contentType}`)
    await response.body?.cancel()
  }
})

t.test('/metrics answers with the text of the primary', async (t) => {
  const { ask, primary } = await setUp(t)
  const wanted = primary.asked('metrics.wanted')
  const answer = ask('/metrics', { headers: key })
  const requestId = await wanted
  primary.tell({ type: 'answered', requestId, answer: 'up 1\n' })
  const response = await answer
  t.equal(response.status, 200)
  t.match(response.headers.get('content-type'), /^text\/plain; version=/)
  t.equal(await response.text(), 'up 1\n')
})

t.test('models are listed below every base URL that clients have', async (t) => {
  const { ask } = await setUp(t)
  for (const base of ['/v1', '', '/anthropic/v1']) {
    for (const path of [`${base}/models`, `${base}/models/auto`]) {
      const response = await ask(path, { headers: { ...key, 'anthropic-version': '2023-06-01' } })
      t.equal(response.status, 200, path)
      t.match(await response.text(), '"type":"model"')
    }
  }
})

t.test('a compressed body is refused as what it is', async (t) => {
  const { post } = await setUp(t)
  for (const encoding of ['gzip', 'deflate', 'br', 'zstd', 'GZIP, identity']) {
    const response = await post('/v1/messages', question, { 'content-encoding': encoding })
    t.equal(response.status, 415, encoding)
    t.equal(response.headers.get('x-should-retry'), 'false')
    t.match((await errorOf(response)).error, {
      type: 'invalid_request_error',
      message: /content-encoding/
    })
  }
  const plain = await post('/v1/messages', question, { 'content-encoding': 'identity' })
  t.equal(plain.status, 200)
  await plain.body?.cancel()
})

t.test('a GET whose body never comes loses its connection in the end', async (t) => {
  const { primary } = await setUp(t)
  const socket = connect(Number(new URL(primary.url).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.write('GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n')
  socket.resume()
  await once(socket, 'close')
})

t.test('errors have the shape of their route', async (t) => {
  const { ask, post } = await setUp(t)
  for (const [path, init, status] of [
    ['/v1/messages', { method: 'POST', body: '{}' }, 401],
    ['/v1/messages', { method: 'GET', headers: key }, 405],
    ['/v1/messages/unknown', { method: 'POST', headers: key }, 404],
    ['/unknown', { headers: { 'anthropic-version': '2023-06-01' } }, 404]
  ] as const) {
    const response = await ask(path, init)
    t.equal(response.status, status, path)
    const error = await errorOf(response)
    t.match(error, { type: 'error', error: { type: String, message: String } })
    t.equal(response.headers.get('request-id'), error.request_id)
  }
  for (const [path, init, status] of [
    ['/v1/chat/completions', { method: 'POST', body: '{}' }, 401],
    ['/v1/chat/completions', { method: 'GET', headers: key }, 405],
    ['/v1/models', { method: 'DELETE', headers: key }, 405],
    ['/unknown', {}, 404],
    ['/v1/models/%E0%A4%A', { headers: key }, 400]
  ] as const) {
    const response = await ask(path, init)
    t.equal(response.status, status, path)
    const error = await errorOf(response)
    t.match(error, { error: { message: String, type: String } })
    t.notHas(error, { type: 'error' })
    t.match(response.headers.get('x-request-id'), /^req_/)
  }
  t.equal((await ask('/v1/messages', { method: 'PUT', headers: key })).headers.get('allow'), 'POST')
  t.equal((await ask('/v1/models', { method: 'PUT', headers: key })).headers.get('allow'), 'GET')
  t.equal((await ask('/v1/models/auto', { method: 'PUT', headers: key })).status, 405)
  t.equal((await ask('/v1/models/%zz', { method: 'PUT', headers: key })).status, 400)
  t.equal((await post('/v1/lint?dialect=openai-chat?x', question)).status, 400)
  t.equal((await ask('/v1/messages/', { method: 'GET', headers: key })).status, 405)
  const invalid = await post('/v1/messages', 'no object')
  t.match(await errorOf(invalid), { type: 'error', error: { type: 'invalid_request_error' } })
  t.equal(invalid.status, 400)
})

t.test('keys', async (t) => {
  const { ask } = await setUp(t)
  for (const [headers, status] of [
    [{}, 401],
    [{ authorization: 'Bearer bad' }, 401],
    [{ 'x-api-key': 'good-key' }, 200],
    [{ authorization: 'Bearer bad', 'x-api-key': 'good-key' }, 200],
    [{ authorization: 'Bearer good-key', 'x-api-key': 'bad' }, 200]
  ] as const) {
    t.equal((await ask('/v1/models', { headers })).status, status, JSON.stringify(headers))
  }
  for (const open of ['/health', '/healthz', '/livez', '/readyz', '/health/', '/health?x=1']) {
    t.equal((await ask(open)).status, 200, open)
  }
})

t.test('a page whose name was pointed to this machine reads nothing without a key', async (t) => {
  const { primary } = await setUp(t, { env: { PROXY_API_KEY: '' } })
  const get = async (path: string, host: string, version = '1.1'): Promise<string> => {
    const socket = connect(Number(new URL(primary.url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.write(`GET ${path} HTTP/${version}\r\n${host}connection: close\r\n\r\n`)
    let received = ''
    for await (const part of socket) received += String(part)
    return received
  }
  for (const path of ['/v1/usage', '/metrics', '/v1/models', '/v1/models/auto', '/usage']) {
    t.match(await get(path, 'host: rebound.example\r\n'), /^HTTP\/1\.1 401 [\s\S]*localhost/, path)
  }
  t.match(await get('/v1/models', `host: ${new URL(primary.url).host}\r\n`), /^HTTP\/1\.1 200 /)
  t.match(await get('/v1/models', 'host: localhost\r\n'), /^HTTP\/1\.1 200 /)
  t.match(await get('/v1/models', '', '1.0'), /^HTTP\/1\.1 200 /, 'an old program')
  t.match(await get('/v1/models', ''), /^HTTP\/1\.1 400 [\s\S]*Host header/)
  t.match(await get('/health', 'host: probe.example\r\n'), /^HTTP\/1\.1 200 /)
})

t.test('HEAD is answered without a body', async (t) => {
  const { ask } = await setUp(t)
  for (const [path, headers, status] of [
    ['/health', {}, 200],
    ['/v1/models', key, 200],
    ['/v1/models', {}, 401],
    ['/v1/messages', key, 405],
    ['/unknown', {}, 404]
  ] as const) {
    const response = await ask(path, { method: 'HEAD', headers })
    t.equal(response.status, status, path)
    t.equal(await response.text(), '')
  }
  t.equal((await ask('/health')).status, 200, 'and leaves the connection in order')
})

t.test('request ids', async (t) => {
  const { ask, post } = await setUp(t)
  for (const path of ['/health', '/unknown']) {
    const response = await ask(path, { headers: { 'x-request-id': 'mine-1' } })
    t.equal(response.headers.get('x-request-id'), 'mine-1')
    t.equal(response.headers.get('request-id'), 'mine-1')
  }
  const response = await post('/v1/messages', question, { 'x-request-id': 'a b' })
  t.match(response.headers.get('x-request-id'), /^req_/, 'not one that is unfit for a log')
})

t.test('answers of the simulator say so', async (t) => {
  const real = await setUp(t)
  const simulated = await setUp(t, { start: { isSimulated: true } })
  for (const path of ['/health', '/unknown', '/v1/models']) {
    t.equal((await real.ask(path)).headers.get('x-kiro-gateway-upstream'), null)
    t.equal((await simulated.ask(path)).headers.get('x-kiro-gateway-upstream'), 'simulator', path)
  }
  const answer = await simulated.post('/v1/messages', question)
  t.equal(answer.headers.get('x-kiro-gateway-upstream'), 'simulator')
})

t.test('an id of a model that is too long is refused in few words', async (t) => {
  const { ask } = await setUp(t)
  const response = await ask(`/v1/models/${'x'.repeat(300)}`, { headers: key })
  t.equal(response.status, 400)
  t.ok((await response.text()).length < 1000)
})

t.test('an answer reaches a client whose body was not read', (t) => {
  const env = { MAX_BODY_BYTES: '1048576' }

  for (const [megabytes, what, path, headers, status] of [
    [20, 'too large', '/v1/messages', key, 413],
    [5, 'without a key', '/v1/messages', {}, 401],
    [5, 'to nowhere', '/v1/nowhere', key, 404]
  ] as const) {
    t.test(`although it sends ${megabytes} MB ${what}`, async (t) => {
      const { primary } = await setUp(t, { env })
      const bytes = megabytes * 1024 * 1024
      const received = await upload(primary.url, { path, headers, bytes })
      t.equal(received.slice(9, 12), String(status))
      t.match(received, /"error"/)
    })
  }

  t.test('although it sends it in chunks of a length it did not declare', async (t) => {
    const { primary } = await setUp(t, { env })
    const bytes = 20 * 1024 * 1024
    const received = await upload(primary.url, {
      path: '/v1/messages',
      headers: key,
      bytes,
      isChunked: true
    })
    t.equal(received.slice(9, 12), '413')
    t.match(received, /MAX_BODY_BYTES/)
  })

  t.test('and the connection may carry the next request', async (t) => {
    const { primary } = await setUp(t, { env })
    const socket = connect(Number(new URL(primary.url).port), '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.setEncoding('utf8')
    const head = 'host: x\r\nauthorization: Bearer good-key\r\n'
    socket.write(`POST /v1/messages HTTP/1.1\r\n${head}content-length: 2000000\r\n\r\n`)
    socket.write('x'.repeat(2_000_000))
    socket.write(`GET /health HTTP/1.1\r\n${head}\r\n`)
    let received = ''
    while (!received.includes('"ok"')) received += (await once(socket, 'data'))[0]
    t.match(received, /^HTTP\/1\.1 413/)
    t.match(received, /HTTP\/1\.1 200/)
  })
  t.end()
})

t.test('a client that leaves in the middle of its body', async (t) => {
  const { primary, ask, upstream } = await setUp(t)
  for (let i = 0; i < 5; i++) {
    const socket = connect(Number(new URL(primary.url).port), '127.0.0.1')
    await once(socket, 'connect')
    const head = 'host: x\r\nauthorization: Bearer good-key\r\ncontent-length: 1000\r\n'
    socket.write(`POST /v1/messages HTTP/1.1\r\n${head}\r\n{"model":`)
    await new Promise((resolve) => setImmediate(resolve))
    if (i % 2 === 0) socket.destroy()
    else socket.resetAndDestroy()
  }
  t.equal((await ask('/health')).status, 200)
  t.equal(upstream.requests, 0)
})

t.test('a body that does not come in time', async (t) => {
  const { primary } = await setUp(t, { env: { BODY_TIMEOUT: '0.1' } })
  const socket = connect(Number(new URL(primary.url).port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  const head = 'host: x\r\nauthorization: Bearer good-key\r\ncontent-length: 1000\r\n'
  socket.write(`POST /v1/messages HTTP/1.1\r\n${head}\r\n{"model":`)
  const [answer] = (await once(socket, 'data')) as [Buffer]
  t.match(answer.toString(), /^HTTP\/1\.1 408/)
})

t.test('a body in chunks of a byte each is refused in the words of its API', async (t) => {
  const { primary } = await setUp(t)
  const head = 'host: x\r\nauthorization: Bearer good-key\r\ntransfer-encoding: chunked\r\n'
  for (const [path, shape] of [
    ['/v1/chat/completions', { error: { message: /chunks of a few bytes/ } }],
    ['/v1/messages', { type: 'error', error: { type: 'invalid_request_error' } }]
  ] as const) {
    const socket = connect(Number(new URL(primary.url).port), '127.0.0.1').on('error', () => {})
    let answer = ''
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString()
    })
    socket.write(`POST ${path} HTTP/1.1\r\n${head}\r\n${'1\r\nx\r\n'.repeat(100_000)}`)
    await once(socket, 'end')
    socket.destroy()
    t.match(answer, /^HTTP\/1\.1 400 /)
    t.match(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))), shape)
  }
})

t.test('bytes that are no HTTP', async (t) => {
  const { primary } = await setUp(t)
  const socket = connect(Number(new URL(primary.url).port), '127.0.0.1')
  socket.setEncoding('utf8')
  socket.write('SSH-2.0-client\r\n\r\n')
  let received = ''
  for await (const chunk of socket) received += chunk
  t.match(received, /^HTTP\/1\.1 400 /)
  t.match(JSON.parse(received.slice(received.indexOf('{'))), { error: { message: String } })
})

t.test('a gateway without credentials says why before it reads a body', async (t) => {
  const problem = { code: 'GW_NOT_READY', message: 'Sign in again.' } as const
  const { post, ask } = await setUp(t, { start: { news: { snapshot: null, problem } } })
  const response = await post('/v1/messages', question)
  t.equal(response.status, 503)
  t.match(await errorOf(response), { error: { message: 'Sign in again.' } })
  t.match(await errorOf(await post('/v1/messages', question)), {
    error: { details: { failure: 'not-ready' } }
  })
  const ready = await ask('/readyz', { headers: key })
  t.equal(ready.status, 503)
  t.match(await ready.json(), {
    status: 'not ready',
    problems: ['Sign in again.'],
    codes: ['not-ready']
  })
  const brief = await ask('/readyz')
  t.equal(brief.status, 503)
  t.same(await brief.json(), { status: 'not ready' })
  t.equal((await ask('/health')).status, 200)
})

t.test('what is the matter with the sign-in has a code for programs', async (t) => {
  for (const [code, failure] of [
    ['GW_UPSTREAM_AUTH', 'refresh-token-dead'],
    ['GW_REGISTRATION_EXPIRED', 'registration-expired'],
    ['GW_UPSTREAM_SUSPENDED', 'account-suspended'],
    ['GW_LOGIN_PENDING', 'no-credentials']
  ] as const) {
    const problem = { code, message: 'Something.' }
    const { post, ask } = await setUp(t, { start: { news: { snapshot: null, problem } } })
    const told = { error: { details: { failure } } }
    t.match(await errorOf(await post('/v1/messages', question)), told, code)
    t.match(await (await ask('/readyz', { headers: key })).json(), { codes: [failure] })
  }
  const problem = {
    code: 'GW_NOT_READY',
    message: 'The host is unknown.',
    failure: 'region-unreachable'
  } as const
  const { ask } = await setUp(t, { start: { news: { snapshot: null, problem } } })
  t.match(await (await ask('/readyz', { headers: key })).json(), { codes: ['region-unreachable'] })
})

t.test('/readyz says to a client without a key whether it is ready, and no more', async (t) => {
  const { ask } = await setUp(t)
  for (const headers of [{}, { 'x-api-key': 'wrong' }] as const) {
    const answer = await ask('/readyz', { headers })
    t.equal(answer.status, 200)
    t.same(await answer.json(), { status: 'ready' })
  }
  const all = await (await ask('/readyz', { headers: key })).json()
  t.match(all, { status: 'ready', problems: [], codes: [], version: String, workers: [{}] })
  const open = await setUp(t, { env: { PROXY_API_KEY: '' } })
  t.match(await (await open.ask('/readyz')).json(), { version: String }, 'where no key is needed')
  const metered = await setUp(t, { env: { METRICS_KEY: 'a-key-of-metrics' } })
  const reader = await metered.ask('/readyz', { headers: { 'x-api-key': 'a-key-of-metrics' } })
  t.match(await reader.json(), { version: String })
})

interface Upload {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly bytes: number
  readonly isChunked?: boolean
}

/** Sends a body to its end before it reads anything, as many clients do; gives the answer as it came. */
async function upload(
  url: string,
  { path, headers, bytes, isChunked = false }: Upload
): Promise<string> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  const length = isChunked ? { 'transfer-encoding': 'chunked' } : { 'content-length': bytes }
  const all = { host: 'x', connection: 'close', ...headers, ...length }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  socket.write(`POST ${path} HTTP/1.1\r\n${lines.join('')}\r\n`)
  const piece = Buffer.alloc(1024 * 1024, 'x')
  const chunk = isChunked
    ? Buffer.concat([Buffer.from('100000\r\n'), piece, Buffer.from('\r\n')])
    : piece
  for (let sent = 0; sent < bytes; sent += piece.byteLength) {
    if (!socket.write(chunk)) await once(socket, 'drain')
  }
  if (isChunked) socket.write('0\r\n\r\n')
  let received = ''
  for await (const part of socket) received += String(part)
  return received
}

import { once } from 'node:events'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { FakePrimary } from '../../helper/fake-primary.ts'
import { endFrame, textFrame } from '../../helper/upstream-frames.ts'

async function setUp(t: Test, env: Readonly<Record<string, string>> = {}): Promise<URL> {
  const upstream = await CountingUpstream.start(t, (_request, response) => {
    response.write(textFrame('hello'))
    response.end(endFrame)
  })
  const { url } = await FakePrimary.start(t, upstream.url, { env })
  return new URL(url)
}

/** All that comes back on a connection of its own until the gateway closes it. */
async function send(t: Test, { port }: URL, text: string): Promise<string> {
  const socket = connect(Number(port), '127.0.0.1')
  t.teardown(() => socket.destroy())
  let received = ''
  socket.setEncoding('utf8').on('data', (chunk: string) => (received += chunk))
  socket.write(text)
  await once(socket, 'close')
  return received
}

function upgrade(path: string, headers = ''): string {
  return (
    `GET ${path} HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\n` +
    `sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n${headers}\r\n`
  )
}

t.test('an upgrade to WebSocket that is not served is refused with 426 at once', async (t) => {
  const url = await setUp(t)
  const off = await setUp(t, { WEBSOCKET_MAX_CONNECTIONS: '0' })
  const good = 'authorization: Bearer good-key\r\n'
  const beta = 'openai-beta: responses_websockets=2026-02-06\r\n'
  for (const [path, headers, at = url] of [
    ['/v1/responses', good + beta, off],
    ['/v1/responses', '', off],
    ['/v1/responses', 'authorization: Bearer wrong\r\n', off],
    ['/responses', good, off],
    ['/v1/chat/completions', good],
    ['/v1/messages', good],
    ['/v1/realtime?model=x', good],
    ['/nowhere', ''],
    ['/', ''],
    ['/health', '']
  ] as const) {
    t.test(`on ${path}, with ${headers || 'no key'}`, async (t) => {
      const received = await send(t, at, upgrade(path, headers))
      t.match(received, /^HTTP\/1\.1 426 Upgrade Required\r\n/)
      t.match(received, /\r\nconnection: upgrade, close\r\n/i)
      t.match(received, /\r\nupgrade: HTTP\/1\.1\r\n/i)
      t.match(received, /\r\nx-should-retry: false\r\n/)
      t.match(received, /WebSocket is not available here/)
    })
  }
})

t.test(
  'an upgrade that is refused for its key or its head gets the status and the words of HTTP',
  async (t) => {
    const url = await setUp(t)
    const good = 'authorization: Bearer good-key\r\n'
    const noSocket = upgrade('/v1/responses', good).replace(/sec-websocket-key: .*\r\n/, '')
    for (const [text, status, words] of [
      [upgrade('/v1/responses'), 401, /No API key was sent/],
      [upgrade('/v1/responses', 'authorization: Bearer wrong\r\n'), 401, /invalid_api_key/],
      [noSocket, 400, /sec-websocket-key/],
      [upgrade('/v1/responses', `${good}sec-websocket-protocol: a,,b\r\n`), 400, /"message":/],
      [upgrade('/v1/responses', `${good}sec-websocket-protocol: a, a\r\n`), 400, /"message":/]
    ] as const) {
      const received = await send(t, url, text)
      t.match(received, new RegExp(`^HTTP/1\\.1 ${status} `))
      t.match(received, words)
      t.match(received, /\r\nx-request-id: /i)
      t.match(received, /\r\nx-should-retry: false\r\n/)
    }
  }
)

t.test('a handshake that has lost its upgrade on the way gets 426, too', async (t) => {
  const url = await setUp(t)
  const good = 'authorization: Bearer good-key\r\n'
  const lost = upgrade('/v1/responses', good)
    .replace('upgrade: websocket\r\n', '')
    .replace('connection: Upgrade', 'connection: close')
  const received = await send(t, url, lost)
  t.match(received, /^HTTP\/1\.1 426 Upgrade Required\r\n/)
  t.match(received, /\r\nupgrade: HTTP\/1\.1\r\n/i)
  t.match(received, /A proxy has taken the upgrade out/)
})

t.test('frames sent before the answer do no harm', async (t) => {
  const url = await setUp(t)
  const received = await send(t, url, `${upgrade('/v1/responses')}\u0081\u0005hello`)
  t.match(received, /^HTTP\/1\.1 401 /)
  t.equal((await fetch(new URL('/health', url))).status, 200)
})

t.test('an upgrade to anything else is an ordinary request', async (t) => {
  const url = await setUp(t)
  const body = JSON.stringify({ model: 'auto', input: 'hi' })
  const received = await send(
    t,
    url,
    'POST /v1/responses HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings, close\r\n' +
      'upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAoAAAAAIAAAAA\r\nauthorization: Bearer good-key\r\n' +
      `content-length: ${body.length}\r\n\r\n${body}`
  )
  t.match(received, /^HTTP\/1\.1 200 /)
  t.match(received, /"text":"hello"/)
})

t.test('what there is of the Responses API and what there is not', async (t) => {
  const url = await setUp(t)
  const headers = { authorization: 'Bearer good-key', 'content-type': 'application/json' }
  const ask = (method: string, path: string, body?: string) =>
    fetch(new URL(path, url), { method, headers, ...(body !== undefined && { body }) })
  for (const [method, path, status] of [
    ['GET', '/v1/responses', 405],
    ['PUT', '/responses', 405],
    ['GET', '/v1/responses/compact', 404],
    ['PUT', '/v1/responses/resp_1', 405],
    ['POST', '/v1/responses/resp_1/fork', 404]
  ] as const) {
    t.test(`${method} ${path}`, async (t) => {
      const response = await ask(method, path)
      t.equal(response.status, status)
      t.equal(response.headers.get('x-should-retry'), 'false')
      t.match(await response.json(), {
        error: {
          type: 'invalid_request_error',
          message: status === 404 ? /does not exist|not found/ : /supports (?:POST|GET and DELETE)/,
          param: null
        }
      })
    })
  }
  for (const path of ['/v1/responses', '/responses', '/v1/responses/', '/v1/responses?x=1']) {
    const response = await ask('POST', path, JSON.stringify({ model: 'auto', input: 'hi' }))
    t.equal(response.status, 200, path)
    t.match(await response.json(), {
      object: 'response',
      status: 'completed',
      output: [{ content: [{ text: 'hello' }] }]
    })
  }
  const invalid = await ask('POST', '/v1/responses', 'no object')
  t.equal(invalid.status, 400)
  t.match(await invalid.json(), { error: { type: 'invalid_request_error' } })
})

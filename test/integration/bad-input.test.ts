import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { startGateway } from '../helper/gateway-process.ts'

// What each API makes of a wrong or odd request: test/requirements/ 02, 03, 05, 06 and 07.

t.setTimeout(300_000) // real processes, on a machine that may be busy

const simulator = new Simulator({ gapMs: 1 })
const { url: upstreamUrl } = await simulator.start()
t.teardown(() => simulator.close())
const gateway = await startGateway({
  upstreamUrl,
  env: {
    PROXY_API_KEY: 'good-key',
    HTTP_MAX_CONNECTIONS: '4',
    MAX_BODY_BYTES: '200000',
    BODY_TIMEOUT: '0.5',
    UPSTREAM_MAX_ATTEMPTS: '1',
    CLIENT_STALL_TIMEOUT: '1'
  }
})
t.teardown(() => gateway.destroy())
const port = Number(new URL(gateway.url).port)

const routes = {
  openai: '/v1/chat/completions',
  anthropic: '/v1/messages'
} as const
type Dialect = keyof typeof routes

interface Reply {
  readonly status: number
  readonly headers: Headers
  readonly body: Record<string, unknown> & {
    error?: { message: string; type: string; code?: string; param?: string }
    type?: string
  }
}

async function post(
  dialect: Dialect,
  body: string,
  headers: Record<string, string> = {}
): Promise<Reply> {
  const response = await fetch(`${gateway.url}${routes[dialect]}`, {
    method: 'POST',
    body,
    headers: { 'content-type': 'application/json', authorization: 'Bearer good-key', ...headers }
  })
  const parsed: unknown = await response.json()
  return { status: response.status, headers: response.headers, body: parsed as Reply['body'] }
}

function request(changes: Record<string, unknown>): string {
  return JSON.stringify({
    model: 'claude-haiku-4.5',
    max_tokens: 100_000_000,
    messages: [{ role: 'user', content: 'hello' }],
    ...changes
  })
}

t.test('a request that is refused', async (t) => {
  t.test('answers 413 to a body over the limit, also while it is being sent', async (t) => {
    for (const dialect of ['openai', 'anthropic'] as const) {
      const reply = await post(dialect, request({ padding: 'x'.repeat(5_000_000) }))
      t.equal(reply.status, 413)
      t.match(reply.body.error?.message, /MAX_BODY_BYTES/)
    }
  })

  t.test('answers 413 to a client that closes after each answer, too', async (t) => {
    for (let i = 0; i < 5; i++) {
      const reply = await post('openai', request({ padding: 'x'.repeat(8_000_000) }), {
        connection: 'close'
      })
      t.equal(reply.status, 413)
    }
  })

  t.test('answers what is no HTTP, or no path, with an error of the API and an id', async (t) => {
    const response = await fetch(`${gateway.url}/v1/messages%zz`, { method: 'POST' })
    t.equal(response.status, 400)
    t.match(response.headers.get('x-request-id'), /./)
    t.match(await response.json(), { error: { type: 'invalid_request_error' } })
    for (const bytes of [
      'nonsense\r\n\r\n',
      `GET / HTTP/1.1\r\nx: ${'x'.repeat(20_000)}\r\n\r\n`
    ]) {
      const socket = connect(port, '127.0.0.1')
      let text = ''
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      socket.on('error', () => {})
      socket.write(bytes)
      await once(socket, 'close')
      t.match(text, /^HTTP\/1\.1 4\d\d /)
      t.match(text, /x-request-id: req_/)
      t.match(text, '"type":"invalid_request_error"')
    }
  })

  t.test('answers 408 to a body that never comes whole', async (t) => {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(
      'POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: good-key\r\ncontent-length: 1000\r\n\r\n{"model"'
    )
    const [chunk] = (await once(socket, 'data')) as [Buffer]
    t.match(chunk.toString(), /^HTTP\/1\.1 408 /)
    t.match(chunk.toString(), /BODY_TIMEOUT/)
    socket.destroy()
  })
})

t.test('a client that vanishes', async (t) => {
  const headers = { authorization: 'Bearer good-key' }
  for (const prompt of [
    'sim:stall-headers',
    'sim:stall-first',
    'sim:stall',
    'sim:events=500 sim:gap=10'
  ]) {
    const calls = Array.from({ length: 8 }, () => startChat(gateway.url, prompt, { headers }))
    await Promise.all(calls.map(({ request }) => once(request, 'finish')))
    for (const { request } of calls) request.destroy()
    await Promise.all(calls.map(({ answer }) => answer))
  }
  for (const part of [
    '',
    'POST /v1/mess',
    'POST /v1/messages HTTP/1.1\r\nhost: x\r\nx-api-key: good-key\r\ncontent-length: 9\r\n\r\n{'
  ]) {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    socket.write(part)
    socket.destroy()
  }
  const calls = Array.from({ length: 12 }, () =>
    startChat(gateway.url, 'sim:events=3', { headers })
  )
  const answers = await Promise.all(calls.map(({ answer }) => answer))
  t.ok(answers.every(isComplete), 'leaves no permit behind')
  t.ok(simulator.stats().connections.max <= 4)
})

t.test('a client that stops reading loses its stream after CLIENT_STALL_TIMEOUT', async (t) => {
  const socket = connect(port, '127.0.0.1')
  await once(socket, 'connect')
  const body = request({
    stream: true,
    messages: [{ role: 'user', content: 'sim:events=1000 sim:size=20000 sim:gap=0' }]
  })
  socket.pause()
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: good-key\r\ncontent-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  )
  const line = await gateway.logged((one) => one['code'] === 'GW_CLIENT_STALLED')
  t.equal(line['status'], 499)
  socket.destroy()
})

t.test('a body in chunks of a byte each is refused in the words of its dialect', async (t) => {
  for (const [dialect, shape] of [
    ['openai', { error: { type: 'invalid_request_error', message: /chunks of a few bytes/ } }],
    ['anthropic', { type: 'error', error: { type: 'invalid_request_error' } }]
  ] as const) {
    const from = gateway.lines.length
    const socket = connect(port, '127.0.0.1').on('error', () => {})
    socket.write(
      `POST ${routes[dialect]} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer good-key\r\ntransfer-encoding: chunked\r\n\r\n`
    )
    socket.write('1\r\nx\r\n'.repeat(100_000))
    let answer = ''
    socket.on('data', (chunk: Buffer) => {
      answer += chunk.toString()
    })
    await once(socket, 'end')
    socket.destroy()
    t.match(answer, /^HTTP\/1\.1 400 /)
    t.match(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n'))), shape)
    const line = await gateway.logged((one) => one['code'] === 'GW_BODY_INVALID', from)
    t.equal(line['status'], 400)
  }
})

t.test('none of this has killed a worker', async (t) => {
  t.notOk(gateway.lines.some((line) => line['msg'] === 'worker died'))
  t.equal(gateway.stderr, '')
})

import { once } from 'node:events'
import { connect } from 'node:net'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { startGateway } from '../helper/gateway-process.ts'

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

const functionTool = (name: string, parameters: unknown = { type: 'object', properties: {} }) => ({
  openai: { type: 'function', function: { name, description: 'A tool', parameters } },
  anthropic: { name, description: 'A tool', input_schema: parameters }
})

t.test('a request that is refused', async (t) => {
  const refused: readonly [name: string, body: string, message: RegExp][] = [
    ['invalid JSON', '{"model": "auto", ', /JSON/],
    ['no body', '', /JSON|empty/i],
    ['a body that is no object', '[1]', /object/],
    ['no messages', '{"model":"auto"}', /messages/],
    ['an empty list of messages', request({ messages: [] }), /messages/],
    ['messages of a wrong type', request({ messages: 'hello' }), /messages/],
    ['content of a wrong type', request({ messages: [{ role: 'user', content: 7 }] }), /content/],
    ['a model of a wrong type', request({ model: 7 }), /model/],
    [
      'nesting without end',
      request({ messages: [{ role: 'user', content: 'x' }] }).replace('"x"', '['.repeat(60_000)),
      /JSON|deep|nest/i
    ]
  ]
  for (const [name, body, message] of refused) {
    for (const dialect of ['openai', 'anthropic'] as const) {
      const reply = await post(dialect, body)
      t.equal(reply.status, 400, `${name}, ${dialect}`)
      t.match(reply.body.error?.message, message)
      t.equal(reply.body.error?.type, 'invalid_request_error')
      t.equal(reply.headers.get('x-should-retry'), 'false')
      if (dialect === 'anthropic') t.match(reply.body, { type: 'error', request_id: /./ })
    }
  }

  t.test('names an unknown model', async (t) => {
    for (const dialect of ['openai', 'anthropic'] as const) {
      const reply = await post(dialect, request({ model: 'glm-9000-nope' }))
      t.equal(reply.status, 404)
      t.match(reply.body.error?.message, /glm-9000-nope/)
    }
  })

  t.test('says what may be done about more than one choice', async (t) => {
    const reply = await post('openai', request({ n: 2 }))
    t.equal(reply.status, 400)
    t.match(reply.body.error?.message, /n/)
  })

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

  t.test('answers 401 without a key and with a wrong one, on every route', async (t) => {
    for (const path of ['/v1/models', '/v1/models/auto', ...Object.values(routes)]) {
      for (const headers of [{}, { authorization: 'Bearer bad' }, { 'x-api-key': 'bad' }]) {
        const method = path.startsWith('/v1/models') ? 'GET' : 'POST'
        const response = await fetch(`${gateway.url}${path}`, { method, headers })
        t.equal(response.status, 401, `${path} ${JSON.stringify(headers)}`)
        t.equal(response.headers.get('x-should-retry'), 'false')
        await response.text()
      }
    }
    const either = { authorization: 'Bearer bad', 'x-api-key': 'good-key' }
    t.equal((await fetch(`${gateway.url}/v1/models`, { headers: either })).status, 200)
  })

  t.test('answers wrong methods and paths', async (t) => {
    const wrong: readonly [string, string, number][] = [
      ['GET', '/v1/chat/completions', 405],
      ['DELETE', '/v1/messages', 405],
      ['POST', '/v1/models', 405],
      ['GET', '/v1/nothing', 404]
    ]
    for (const [method, path, status] of wrong) {
      const response = await fetch(`${gateway.url}${path}`, { method })
      t.equal(response.status, status, `${method} ${path}`)
      await response.text()
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

t.test('a request that is repaired', async (t) => {
  const longName = `mcp__server__${'x'.repeat(60)}`
  const repaired: readonly [
    name: string,
    changes: (dialect: Dialect) => Record<string, unknown>
  ][] = [
    ['an unknown role', () => ({ messages: [{ role: 'narrator', content: 'Once' }] })],
    ['empty content', () => ({ messages: [{ role: 'user', content: '' }] })],
    [
      'two turns of one role',
      () => ({
        messages: [
          { role: 'user', content: 'a' },
          { role: 'user', content: 'b' }
        ]
      })
    ],
    [
      'a first turn of the assistant',
      () => ({
        messages: [
          { role: 'assistant', content: 'Hi' },
          { role: 'user', content: 'a' }
        ]
      })
    ],
    [
      'a last turn of the assistant',
      () => ({
        messages: [
          { role: 'user', content: 'a' },
          { role: 'assistant', content: '{' }
        ]
      })
    ],
    [
      'a system turn in between',
      () => ({
        messages: [
          { role: 'user', content: 'a' },
          { role: 'system', content: 'b' },
          { role: 'user', content: 'c' }
        ]
      })
    ],
    ['a long tool name', (dialect) => ({ tools: [functionTool(longName)[dialect]] })],
    [
      'duplicate tool names',
      (dialect) => ({ tools: [functionTool('f')[dialect], functionTool('f')[dialect]] })
    ],
    [
      'anyOf at the root of a schema',
      (dialect) => ({
        tools: [
          functionTool('f', { anyOf: [{ type: 'object', properties: { a: { type: 'string' } } }] })[
            dialect
          ]
        ]
      })
    ],
    [
      '$ref at the root of a schema',
      (dialect) => ({
        tools: [
          functionTool('f', {
            $ref: '#/$defs/A',
            $defs: { A: { type: 'object', properties: { a: { $ref: '#/$defs/A' } } } }
          })[dialect]
        ]
      })
    ],
    [
      'a tool result without its call',
      (dialect) => ({
        tools: [functionTool('f')[dialect]],
        messages:
          dialect === 'openai'
            ? [
                { role: 'tool', tool_call_id: 'c9', content: 'late' },
                { role: 'user', content: 'so?' }
              ]
            : [
                {
                  role: 'user',
                  content: [{ type: 'tool_result', tool_use_id: 'c9', content: 'late' }]
                }
              ]
      })
    ],
    ['unknown fields', () => ({ frobnicate: { a: 1 }, seed: 4, metadata: { user_id: 'x' } })]
  ]
  for (const [name, changes] of repaired) {
    for (const dialect of ['openai', 'anthropic'] as const) {
      const reply = await post(dialect, request(changes(dialect)), {
        'anthropic-beta': 'whatever-2026-01-01'
      })
      t.equal(reply.status, 200, `${name}, ${dialect}: ${JSON.stringify(reply.body.error)}`)
    }
  }

  t.test('says in a header what was repaired', async (t) => {
    const tools = [functionTool('f').openai, functionTool('f').openai]
    const reply = await post('openai', request({ tools }))
    t.match(reply.headers.get('x-kiro-gateway-repairs'), /./)
  })

  t.test('gets the tool names it sent', async (t) => {
    const prompt = `call tool ${longName}`
    const { body } = await post(
      'anthropic',
      request({
        tools: [functionTool(longName).anthropic],
        messages: [{ role: 'user', content: prompt }]
      })
    )
    t.match(body, { content: [{ type: 'text' }, { type: 'tool_use', name: longName }] })
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

import { readFileSync } from 'node:fs'
import { createServer, type IncomingHttpHeaders, request as requestHttp } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { isNightly } from '../helper/nightly.ts'
import { OtlpReceiver, type ReceivedSpan } from '../helper/otlp-receiver.ts'
import { startSimulator } from '../helper/run-simulator.ts'
import { serverUrl } from '../helper/server-url.ts'

t.setTimeout(900_000) // real processes, on a machine that may be busy

const TRACE = '4bf92f3577b34da6a3ce929d0e0e4736'
const UNWANTED_TRACE = '0af7651916cd43dd8448eb211c80319c'
const PARENT = '00f067aa0ba902b7'
const SECRET = 'a-word-of-the-prompt'
/** One that is not reached, one that keeps its caller, and one that refuses. */
const TROUBLE_BY_DAY = new Set(['gone', 'endless', 'refusing'])

interface Rig {
  readonly gateway: GatewayProcess
  ask(prompt: string, more?: Asked): Promise<Response>
}

interface Asked {
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: object
  readonly path?: string
}

/** A simulator, and the headers of all that it is asked. */
async function heardUpstream(t: Test) {
  const { url } = await startSimulator(t)
  const heard: IncomingHttpHeaders[] = []
  const between = createServer((request, response) => {
    heard.push(request.headers)
    const { method, headers } = request
    const call = requestHttp(url + request.url, { method, headers }, (answer) => {
      response.writeHead(answer.statusCode ?? 500, answer.headers)
      answer.pipe(response)
    })
    request.pipe(call)
  })
  const { origin } = await serverUrl(between)
  t.teardown(() => between.close())
  return { url: origin, heard }
}

async function rig(t: Test, endpoint: string, env: Readonly<Record<string, string>> = {}) {
  const { url, heard } = await heardUpstream(t)
  const gateway = await startGateway({
    upstreamUrl: url,
    env: { WORKERS: '1', OTEL_EXPORTER_OTLP_ENDPOINT: endpoint, ...env }
  })
  t.teardown(() => gateway.destroy())
  return { gateway, heard, ask: asker(gateway) }
}

function asker({ url }: GatewayProcess): Rig['ask'] {
  return async (prompt, { headers = {}, body = {}, path = '/v1/messages' } = {}) => {
    const response = await fetch(url + path, {
      method: 'POST',
      headers,
      body: JSON.stringify({
        model: 'claude-haiku-4.5',
        max_tokens: 1000,
        messages: [{ role: 'user', content: prompt }],
        ...body
      })
    })
    await response.text()
    return response
  }
}

async function receiver(t: Test): Promise<OtlpReceiver> {
  return new OtlpReceiver().start(t)
}

function rootOf(spans: readonly ReceivedSpan[]): ReceivedSpan {
  const root = spans.find(({ kind }) => kind === 2)
  if (root === undefined) throw new Error('there is no span of a request')
  return root
}

/** Large spans go as JSON by day, too. */
const PROTOCOLS = isNightly ? ['http/protobuf', 'http/json'] : ['http/protobuf']

for (const protocol of PROTOCOLS) {
  t.test(`a request is a span, its phases events, its calls children: ${protocol}`, async (t) => {
    const otlp = await receiver(t)
    const { gateway, heard, ask } = await rig(t, `${otlp.url}/`, {
      OTEL_EXPORTER_OTLP_PROTOCOL: protocol,
      OTEL_EXPORTER_OTLP_HEADERS: 'api-key=the%20key',
      OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test,service.name=other',
      OTEL_SERVICE_NAME: 'the-gateway'
    })
    const from = Date.now()
    const response = await ask(`${SECRET} sim:flaky=1`, {
      headers: {
        traceparent: `00-${TRACE}-${PARENT}-01`,
        tracestate: 'a=b',
        baggage: 'c=d',
        'user-agent': 'claude-cli/2.0'
      },
      body: { stream: true }
    })
    t.equal(response.status, 200)
    const refused = await ask(SECRET, { body: { messages: 7 } })
    t.equal(refused.status, 400)
    const counted = await ask(SECRET, { path: '/v1/messages/count_tokens' })
    t.equal(counted.status, 200)
    const unwanted = { traceparent: `00-${UNWANTED_TRACE}-${PARENT}-00` }
    const untraced = await ask('hi', { headers: unwanted })
    t.match(
      untraced.headers.get('traceparent'),
      new RegExp(`^00-${UNWANTED_TRACE}-[0-9a-f]{16}-00$`),
      'also where nobody wants a trace'
    )
    const line = await gateway.logged((one) => one['status'] === 200 && one['trace_id'] === TRACE)
    t.equal(await gateway.stop(), 0)
    t.same(otlp.problems, [])
    t.equal(otlp.maxConnections, 1)
    t.notOk(otlp.spans.some(({ traceId }) => traceId === UNWANTED_TRACE))
    t.ok(heard.length > 0)
    for (const headers of heard)
      for (const name of ['traceparent', 'tracestate', 'baggage'])
        t.notOk(name in headers, `the upstream is sent no ${name}`)
    const { headers, url } = otlp.requests[0] ?? {}
    t.equal(url, '/v1/traces')
    t.equal(headers?.['api-key'], 'the key')

    const spans = otlp.spans.filter(({ traceId }) => traceId === TRACE)
    const root = rootOf(spans)
    t.equal(response.headers.get('traceparent'), `00-${TRACE}-${root.spanId}-01`)
    t.equal(root.parentSpanId, PARENT)
    t.equal(root.name, 'POST /v1/messages')
    t.equal(root.statusCode, 0)
    t.match(root.attributes, {
      'http.request.method': 'POST',
      'http.route': '/v1/messages',
      'http.response.status_code': 200,
      'gen_ai.operation.name': 'chat',
      'gen_ai.provider.name': 'aws.kiro',
      'gen_ai.request.model': 'claude-haiku-4.5',
      'gen_ai.response.model': 'claude-haiku-4.5',
      'gen_ai.request.stream': true,
      'kiro_gateway.request_id': line['request_id'],
      'kiro_gateway.dialect': 'anthropic-messages',
      'kiro_gateway.client': 'claude-code',
      'kiro_gateway.attempts': 2
    })
    t.equal(root.attributes['gen_ai.usage.output_tokens'], line['output_tokens'])
    t.ok(Number(root.attributes['gen_ai.usage.input_tokens']) >= Number(line['input_tokens']))
    t.match(root.resource, {
      'service.name': 'the-gateway',
      'deployment.environment.name': 'test',
      'kiro_gateway.worker': Number
    })
    const phases = root.events.map(({ name }) => name)
    for (const phase of ['read', 'transform', 'queue', 'retry', 'ttfb', 'stream'])
      t.ok(phases.includes(phase), phase)
    t.ok(Number(root.startNs / 1_000_000n) >= from - 50, 'times are those of the clock')

    const calls = spans.filter(({ kind }) => kind === 3)
    t.equal(calls.length, 2)
    for (const call of calls) {
      t.equal(call.parentSpanId, root.spanId)
      t.equal(call.name, 'chat claude-haiku-4.5')
      t.match(call.attributes, { 'server.address': '127.0.0.1', 'server.port': Number })
      t.ok(call.startNs >= root.startNs && call.endNs <= root.endNs, 'inside its request')
    }
    const [first, second] = calls.toSorted((a, b) => Number(a.startNs - b.startNs))
    t.match(first, { statusCode: 2, attributes: { 'http.response.status_code': 500 } })
    t.match(first?.attributes['error.type'], /^GW_/)
    t.match(second, { statusCode: 0, attributes: { 'http.response.status_code': 200 } })

    const others = otlp.spans.filter(({ traceId }) => traceId !== TRACE)
    t.equal(new Set(others.map(({ traceId }) => traceId)).size, 2, 'each has a trace of its own')
    const bad = others.find(({ attributes }) => attributes['error.type'] === 'GW_BODY_INVALID')
    t.match(bad, { statusCode: 0, parentSpanId: '', name: 'POST /v1/messages' })
    t.ok(others.some(({ name }) => name === 'POST /v1/messages/count_tokens'))
    const all = JSON.stringify(otlp.spans, (_, value: unknown) =>
      typeof value === 'bigint' ? String(value) : value
    )
    t.notMatch(all, SECRET, 'no word of content')
  })
}

t.test('a large request and a large call are small spans', async (t) => {
  const otlp = await receiver(t)
  const { gateway, ask } = await rig(t, otlp.url, { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' })
  const nasty = `\u0000\u0007\u001b[31m"\\\ud83d${SECRET}\n`
  const body = {
    stream: true,
    messages: [{ role: 'user', content: `${nasty.repeat(12_000)} Call it. sim:arguments=290000` }],
    tools: [
      {
        name: 'f',
        description: nasty,
        input_schema: { type: 'object', properties: { a: { type: 'string' } } }
      }
    ],
    tool_choice: { type: 'any' }
  }
  const headers = { 'user-agent': `x${'y'.repeat(5000)}` }
  const answers = [
    await ask('', { body, headers }),
    await ask('', { body: { ...body, model: nasty.repeat(1000) }, headers }),
    await ask('', { body: { ...body, model: `claude-haiku-4.5 ${nasty}` }, headers })
  ]
  t.equal(answers[0]?.status, 200)
  t.equal(await gateway.stop(), 0)
  t.same(otlp.problems, [], 'no control character is in a value')
  t.equal(otlp.spans.filter(({ kind }) => kind === 2).length, 3)
  const root = otlp.spans.find(
    ({ attributes }) => Number(attributes['http.request.body.size']) > 400_000
  )
  t.ok(root, 'the large one is there')
  for (const { attributes, events } of otlp.spans) {
    t.ok(events.length <= 64)
    for (const value of Object.values(attributes)) t.ok(String(value).length <= 300)
  }
  t.ok(otlp.maxBytes < 20_000, `${otlp.maxBytes} bytes for three requests`)
})

t.test('an endpoint that is gone, slow or talks nonsense is nobody else’s trouble', async (t) => {
  const otlp = await receiver(t)
  const garbage = createTcpServer((socket) => {
    socket.on('error', () => {}).end('SSH-2.0-nonsense\r\n\r\n\u0000\u0001')
  })
  const closed = createTcpServer()
  const closedUrl = (await serverUrl(closed)).origin
  closed.close()
  const cases: readonly (readonly [string, string, OtlpReceiver['answer']])[] = [
    ['gone', closedUrl, null],
    ['garbage', (await serverUrl(garbage)).origin, null],
    ['silent', otlp.url, () => {}],
    [
      'refusing',
      otlp.url,
      (request, response) => void (request.resume(), response.writeHead(401).end('no'))
    ],
    [
      'endless',
      otlp.url,
      (request, response) => {
        request.resume()
        response.writeHead(503, { 'retry-after': '86400' })
        const more = setInterval(() => response.write('x'.repeat(10_000)), 1)
        response.on('close', () => clearInterval(more)).on('error', () => {})
      }
    ],
    [
      'elsewhere',
      otlp.url,
      (request, response) =>
        void (request.resume(), response.writeHead(307, { location: 'http://127.0.0.1:1/' }).end())
    ]
  ]
  t.teardown(() => garbage.close())
  for (const [name, endpoint, answer] of cases) {
    if (!isNightly && !TROUBLE_BY_DAY.has(name)) continue
    await t.test(name, async (t) => {
      otlp.answer = answer
      const { gateway, ask } = await rig(t, endpoint, { OTEL_EXPORTER_OTLP_TIMEOUT: '1000' })
      for (const { status } of await Promise.all(Array.from({ length: 20 }, () => ask('hi'))))
        t.equal(status, 200)
      const { why } = await gateway.logged(({ msg }) =>
        String(msg).startsWith('OTEL_EXPORTER_OTLP_ENDPOINT does not accept')
      )
      t.match(why, /./)
      const metrics = async () => (await fetch(`${gateway.url}/metrics`)).text()
      t.match(await metrics(), /^kiro_gateway_requests_total\{.*\} 20$/m)
      t.match(await metrics(), /^kiro_gateway_trace_spans_sent_total 0$/m)
      if (name === 'refusing') {
        const all = 'kiro_gateway_trace_spans_dropped_total{reason="refused"} 40\n'
        while (!(await metrics()).includes(all)) await delay(100)
      }
      t.equal((await ask('hi')).status, 200)
      const from = performance.now()
      t.equal(await gateway.stop(), 0)
      const tookMs = performance.now() - from
      t.ok(tookMs < 10_000, `it ends in ${Math.round(tookMs)} ms`)
      const told = gateway.lines.filter(({ msg }) =>
        String(msg).startsWith('OTEL_EXPORTER_OTLP_ENDPOINT does not accept')
      )
      t.equal(told.length, 1, 'one warning')
    })
  }
})

t.test('without the setting not a module of it is loaded, with it only in workers', async (t) => {
  const probe = new URL('../helper/loaded-modules.ts', import.meta.url)
  for (const endpoint of ['', 'http://127.0.0.1:1']) {
    const folder = t.testdir({})
    probe.searchParams.set('folder', folder)
    const gateway = await startGateway({
      fromSources: true,
      env: {
        WORKERS: '1',
        NODE_OPTIONS: `--import=${probe.href}`,
        ...(endpoint !== '' && { OTEL_EXPORTER_OTLP_ENDPOINT: endpoint })
      }
    })
    t.teardown(() => gateway.destroy())
    t.equal((await asker(gateway)('hi')).status, 200)
    const workers = gateway.workerPids()
    t.equal(workers.length, 1)
    for (const pid of [gateway.child.pid, ...workers]) {
      const loaded = readFileSync(`${folder}/${pid}`, 'utf8')
      t.match(loaded, /src\/shared\/errors\.ts/, 'it is seen what is loaded')
      const isWanted = endpoint !== '' && workers.some((worker) => worker === pid)
      t.equal(/@opentelemetry|src\/tracing\//.test(loaded), isWanted, `process ${pid}`)
    }
  }
})

import { once } from 'node:events'
import { Agent as HttpAgent, request as httpRequest } from 'node:http'
import { connect } from 'node:net'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { skipByDay } from '../helper/nightly.ts'
import { startSimulator, tick } from '../helper/run-simulator.ts'
import {
  call,
  eventsOf,
  generate,
  jsonOf,
  refusalOf,
  textOf,
  upstreamRequest
} from '../helper/simulator-request.ts'

t.test('generateAssistantResponse', async (t) => {
  const { url } = await startSimulator(t)

  t.test('answers by path and by target', async (t) => {
    const byPath = await generate(url, upstreamRequest('hi'))
    t.equal(byPath.headers.get('content-type'), 'application/vnd.amazon.eventstream')
    t.match(textOf(await eventsOf(byPath)), /"hi"/)
    const byTarget = await call(url, 'POST', '/', {
      headers: { 'x-amz-target': 'AmazonCodeWhispererStreamingService.GenerateAssistantResponse' },
      body: upstreamRequest('hi')
    })
    t.match(textOf(await eventsOf(byTarget)), /"hi"/)
  })

  t.test('refuses with the body of the upstream, and says more in a header', async (t) => {
    const response = await generate(url, upstreamRequest(' '))
    t.equal(response.status, 400)
    t.equal(response.headers.get('x-amzn-errortype'), 'ValidationException')
    t.match(response.headers.get('x-simulator-rule'), /blank/)
    t.same(await response.json(), {
      __type: 'ValidationException',
      message: 'Improperly formed request.',
      reason: 'REQUEST_BODY_INVALID'
    })
  })

  t.test('refuses bodies that are no JSON, nest too deeply or weigh too much', async (t) => {
    t.match(await refusalOf(generate(url, '{"a":')), { message: 'Improperly formed request.' })
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`
    const nested = JSON.stringify(upstreamRequest('hi', { context: { tools: ['DEEP'] } }))
    t.match(await refusalOf(generate(url, nested.replace('"DEEP"', deep))), { status: 400 })
    const heavy = upstreamRequest('hi', { root: { agentMode: 'x'.repeat(1_340_000) } })
    t.match(await refusalOf(generate(url, heavy)), { reason: 'CONTENT_LENGTH_EXCEEDS_THRESHOLD' })
  })

  t.test('refuses more tokens than the window of the model', async (t) => {
    const message = { modelId: 'deepseek-3.2' }
    const many = upstreamRequest('. '.repeat(130_000), { message })
    t.match(await refusalOf(generate(url, many)), {
      message: 'Input is too long for requested model. Maximum input length is 128000 tokens.'
    })
  })

  t.test('paces events', async (t) => {
    const started = performance.now()
    await eventsOf(await generate(url, upstreamRequest('hi sim:events=5 sim:gap=20')))
    t.ok(performance.now() - started >= 8 * 19)
  })

  t.test('sends the head before a slow first event', async (t) => {
    const stop = new AbortController()
    const request = upstreamRequest('hi sim:first=60000')
    const response = await generate(url, request, {}, stop.signal)
    t.equal(response.status, 200)
    stop.abort()
  })

  t.test('sends pieces that frames do not end with', async (t) => {
    const response = await generate(url, upstreamRequest('hi sim:say="abc" sim:chunk=7'))
    t.equal(textOf(await eventsOf(response)), 'abc')
  })

  t.test('wraps payloads and sends unknown events when asked to', async (t) => {
    const wish = 'hi sim:say="abc" sim:wrapped sim:unknown-event'
    const events = await eventsOf(await generate(url, upstreamRequest(wish)))
    t.equal(textOf(events), 'abc')
    t.ok(events.some((event) => event.type === 'ignored' && event.eventType.includes('Future')))
  })
})

t.test('connections', async (t) => {
  t.test('are counted and reused; asking for the counts changes nothing', async (t) => {
    const { url, simulator } = await startSimulator(t)
    const agent = new HttpAgent({ keepAlive: true, maxSockets: 1 })
    t.teardown(() => agent.destroy())
    for (let i = 0; i < 3; i++) await getWith(agent, `${url}/ListAvailableModels`)
    const stats = await jsonOf(call(url, 'GET', '/__simulator/stats'))
    t.same(stats, {
      connections: { open: 1, max: 1, idle: 1, maxIdle: 1, accepted: 1 },
      requests: { total: 3, byOperation: { listAvailableModels: 3 } },
      requestsOnReusedConnections: 2,
      inFlight: 0,
      maxInFlight: 1,
      refreshes: 0
    })
    t.same(simulator.stats(), stats)
    await call(url, 'POST', '/__simulator/reset-stats')
    t.match(simulator.stats(), { requests: { total: 0 }, connections: { open: 1, accepted: 0 } })
  })

  t.test('are closed by the simulator when they idle too long', async (t) => {
    const { url, simulator } = await startSimulator(t, { keepAliveTimeoutMs: 50 })
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    socket.write('GET /ListAvailableModels HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n\r\n')
    socket.resume()
    await once(socket, 'end')
    t.equal(simulator.stats().requests.total, 1)
  })

  t.test('wait for a client that does not read', { skip: skipByDay }, async (t) => {
    const { url, simulator } = await startSimulator(t)
    const socket = connect(Number(new URL(url).port), '127.0.0.1')
    const body = JSON.stringify(upstreamRequest('x sim:events=400 sim:size=100000'))
    socket.pause()
    socket.write(
      `POST /generateAssistantResponse HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer x\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
    )
    while (simulator.stats().inFlight === 0) await tick()
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 200; i++) await tick()
    t.ok(process.memoryUsage().arrayBuffers - before < 10_000_000)
    let bytes = 0
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.length
    })
    socket.resume()
    while (simulator.stats().inFlight > 0) await tick()
    socket.destroy()
    t.ok(bytes > 30_000_000)
  })

  t.test('a thousand answers stream at once', { skip: skipByDay, timeout: 300_000 }, async (t) => {
    const { url, simulator } = await startSimulator(t)
    const agent = new HttpAgent({ keepAlive: true })
    t.teardown(() => agent.destroy())
    const generateUrl = `${url}/generateAssistantResponse`
    const ask = (prompt: string): Promise<number> =>
      postWith(agent, generateUrl, upstreamRequest(prompt))
    const held = Array.from({ length: 1000 }, () => ask('sim:stall').catch(() => 0))
    while (simulator.stats().inFlight < 1000) await tick() // or the test's time is up
    t.match(simulator.stats(), { maxInFlight: 1000, connections: { accepted: 1000 } })
    agent.destroy()
    await Promise.all(held)
    while (simulator.stats().inFlight > 0) await tick()
    const lengths = await Promise.all(Array.from({ length: 1000 }, () => ask('hi sim:events=3')))
    t.equal(new Set(lengths).size, 1)
  })
})

t.test('close()', async (t) => {
  t.test('cuts what stalls, and is the same promise each time', async (t) => {
    const simulator = new Simulator({ gapMs: 0 })
    const { url } = await simulator.start()
    const response = await generate(url, upstreamRequest('sim:stall-first'))
    const closing = simulator.close()
    t.equal(simulator.close(), closing)
    await closing
    await t.rejects(response.arrayBuffer())
    await t.rejects(generate(url, upstreamRequest('hi')))
  })

  t.test('is fine before start()', async () => {
    await new Simulator().close()
  })
})

async function getWith(agent: HttpAgent, url: string): Promise<void> {
  const request = httpRequest(url, { agent, headers: { authorization: 'Bearer x' } }).end()
  const [response] = await once(request, 'response')
  response.resume()
  await once(response, 'end')
  await tick() // the agent gets its socket back first
}

/** Posts `body` and returns how many bytes the answer had. */
async function postWith(agent: HttpAgent, url: string, body: object): Promise<number> {
  const headers = { authorization: 'Bearer x', 'content-type': 'application/json' }
  const request = httpRequest(url, { agent, method: 'POST', headers }).end(JSON.stringify(body))
  const [response] = await once(request, 'response')
  let bytes = 0
  for await (const chunk of response) bytes += chunk.length
  return bytes
}

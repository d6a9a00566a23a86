import { getEventListeners } from 'node:events'
import { createServer } from 'node:net'
import t, { type Test } from 'tap'
import { loadConfig } from '../../../src/config/load.ts'
import { Budget } from '../../../src/control/budget/budget.ts'
import { CONTROL, ControlLane } from '../../../src/control/budget/control-lane.ts'
import { NO_REPORT } from '../../../src/ipc/messages.ts'
import { Metrics } from '../../../src/observe/metrics.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import type { JsonRequest } from '../../../src/upstream/call/json-exchange.ts'
import { CountingProxy } from '../../helper/counting-proxy.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'
import { NameServer } from '../../helper/name-server.ts'
import { serverUrl } from '../../helper/server-url.ts'

const never = new AbortController().signal

interface Setting {
  /** A worker has all of the budget that is not reserved, and gives nothing back. */
  readonly isBusy?: boolean
  /** By default there are 32 connections, of which two are reserved. */
  readonly env?: Readonly<Record<string, string>>
}

function setUp(t: Test, setting: Setting = {}) {
  return setUpBudget(t, setting).lane
}

function setUpBudget(t: Test, { isBusy = false, env = {} }: Setting) {
  const result = loadConfig({ HTTP_MAX_CONNECTIONS: '32', ...env }, [])
  if (result.name !== 'config') throw new Error('there is no config')
  const { config } = result
  const budget: Budget = new Budget({
    size: { ...config.pool, workers: 1 },
    send: (member, grant) => {
      if (member === CONTROL) lane.onGrant(grant)
    }
  })
  if (isBusy) budget.record({ type: 'join', member: 'worker', slot: 0 })
  const metrics = new Metrics()
  t.teardown(() => metrics.close())
  const lane = new ControlLane(budget, config, metrics)
  t.teardown(() => lane.close())
  return { lane, budget }
}

function request(url: URL, changes: Partial<JsonRequest> = {}): JsonRequest {
  return {
    method: 'POST',
    url: url.href,
    headers: {},
    body: '{"a":1}',
    timeoutMs: 2000,
    ...changes
  }
}

t.test('ControlLane.call()', (t) => {
  t.test('gives up at once what has not been sent, and lets go on what has', async (t) => {
    const server = await NameServer.start(t)
    const lane = setUp(t, { env: { DNS_SERVERS: server.address } })
    const leaving = new AbortController()
    const unlessSent = leaving.signal
    const unsent = lane.call(
      request(new URL('http://silent.example/'), { unlessSent, timeoutMs: 60_000 }),
      never
    )
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      leaving.abort(new GatewayError('GW_DRAINING'))
      response.end('answered')
    })
    await server.asked('silent.example')
    t.match(await lane.call(request(upstream.url, { unlessSent }), never), { text: 'answered' })
    await t.rejects(unsent, { code: 'GW_DRAINING' })
    await t.rejects(lane.call(request(upstream.url, { unlessSent }), never), {
      code: 'GW_DRAINING'
    })
  })

  t.test('leaves nothing behind at the signal of one that got no connection', async (t) => {
    const lane = setUp(t)
    const unlessSent = new AbortController().signal
    const error = new GatewayError('GW_DRAINING')
    const call = lane.call(
      request(new URL('http://127.0.0.1:1/'), { unlessSent }),
      AbortSignal.abort(error)
    )
    await t.rejects(call, { code: 'GW_DRAINING' })
    t.same(getEventListeners(unlessSent, 'abort'), [])
  })

  t.test('names the setting of the host that it could not reach', async (t) => {
    const lane = setUp(t)
    const refused = lane.call(
      request(new URL('http://127.0.0.1:1/'), { setting: 'KIRO_AUTH_URL' }),
      never
    )
    await t.rejects(refused, { code: 'GW_UPSTREAM_CONNECT', message: /KIRO_AUTH_URL/ })
  })

  t.test('gives status, headers and text of any answer', async (t) => {
    const upstream = await CountingUpstream.start(t, (request, response) => {
      let body = ''
      request.on('data', (chunk) => (body += String(chunk)))
      request.on('end', () => {
        response.writeHead(418, [
          ['X-One', '1'],
          ['set-cookie', 'a'],
          ['set-cookie', 'b']
        ])
        response.end(`${request.method} ${request.url} ${body}`)
      })
    })
    const lane = setUp(t)
    const url = new URL('/path?x=1', upstream.url)
    t.match(await lane.call(request(url), never), {
      status: 418,
      headers: { 'x-one': '1', 'set-cookie': 'a, b' },
      text: 'POST /path?x=1 {"a":1}'
    })
  })

  t.test('uses no more connections than are reserved, and each again', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      setTimeout(() => response.end('ok'), 2)
    })
    const lane = setUp(t, { isBusy: true })
    const calls = Array.from({ length: 20 }, () => lane.call(request(upstream.url), never))
    t.same(new Set((await Promise.all(calls)).map(({ text }) => text)), new Set(['ok']))
    t.equal(upstream.requests, 20)
    t.equal(upstream.max, 2)
    t.equal(upstream.sockets.length, 2)
  })

  t.test('goes through the proxy that is set', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const proxy = await CountingProxy.start(t, 'socks5', { credentials: 'me:secret' })
    const lane = setUp(t, { isBusy: true, env: { VPN_PROXY_URL: proxy.url } })
    const url = new URL(`http://auth.test:${upstream.url.port}`)
    const calls = Array.from({ length: 20 }, () => lane.call(request(url), never))
    t.ok((await Promise.all(calls)).every(({ text }) => text === 'ok'))
    t.same([proxy.max, proxy.targets.length], [2, 2])
    t.equal(proxy.targets[0], url.host)
    const denied = lane.call(request(new URL('https://forbidden.test')), never)
    await t.rejects(denied, {
      code: 'GW_UPSTREAM_CONNECT',
      message: /proxy of VPN_PROXY_URL refuses/
    })
  })

  t.test('goes first where nothing is reserved, however many streams wait', async (t) => {
    const upstream = await CountingUpstream.start(t)
    const { lane, budget } = setUpBudget(t, { isBusy: true, env: { HTTP_MAX_CONNECTIONS: '4' } })
    const heads = [{ key: 'a', at: 1, served: 0 }]
    const report = { ...NO_REPORT, seen: 1, granted: 4, waiting: 1000, heads }
    budget.record({ type: 'report', member: 'worker', report: { ...report, seq: 1 } })
    await new Promise((resolve) => setImmediate(resolve)) // the queue is full, and the lane knows
    const call = lane.call(request(upstream.url), never)
    await new Promise((resolve) => setImmediate(resolve))
    budget.record({ type: 'report', member: 'worker', report: { ...report, seq: 2, returned: 1 } })
    t.match(await call, { text: 'ok' })
  })

  t.test('does not read an answer without end into memory', async (t) => {
    const upstream = await CountingUpstream.start(t, (_request, response) => {
      response.end('x'.repeat(6 * 2 ** 20))
    })
    const lane = setUp(t)
    for (const maxBytes of [undefined, 4 * 2 ** 20]) {
      const asked = request(upstream.url, maxBytes === undefined ? {} : { maxBytes })
      const { text } = await lane.call(asked, never)
      const most = maxBytes ?? 256 * 1024
      t.ok(text.length <= most, `${text.length} of at most ${most}`)
      t.ok(text.length > most / 2, `${text.length} of at most ${most}`)
    }
  })

  t.test('names what kept it from an answer', async (t) => {
    const lane = setUp(t)
    const server = createServer()
    const closed = await serverUrl(server)
    await new Promise((resolve) => server.close(resolve))
    await t.rejects(lane.call(request(closed), never), { code: 'GW_UPSTREAM_CONNECT' })
    let answers = 1
    const silent = await CountingUpstream.start(t, (_request, response) => {
      if (answers-- > 0) response.end('ok')
    })
    await lane.call(request(silent.url), never) // leaves an open connection
    const late = lane.call(request(silent.url, { timeoutMs: 500 }), never)
    await t.rejects(late, { code: 'GW_UPSTREAM_HEADERS_TIMEOUT' }, 'it was connected')
    const halting = await CountingUpstream.start(
      t,
      (_request, response) => void response.write('a')
    )
    const halted = lane.call(request(halting.url, { timeoutMs: 1000 }), never)
    await t.rejects(halted, { code: 'GW_UPSTREAM_IDLE_TIMEOUT' })
    const breaking = await CountingUpstream.start(t, ({ socket }) => void socket.destroy())
    await t.rejects(lane.call(request(breaking.url), never), { code: 'GW_UPSTREAM_RESET' })
    const fine = await CountingUpstream.start(t)
    t.match(await lane.call(request(fine.url), never), { text: 'ok' }, 'every permit is back')
  })

  t.test('ends with the signal', async (t) => {
    const asked = Promise.withResolvers<void>()
    const upstream = await CountingUpstream.start(t, () => asked.resolve())
    const lane = setUp(t)
    const abort = new AbortController()
    const call = t.rejects(lane.call(request(upstream.url), abort.signal))
    await asked.promise
    abort.abort(new Error('shutting down'))
    await call
    await upstream.empty()
  })
  t.end()
})

t.test('ControlLane.close()', async (t) => {
  const upstream = await CountingUpstream.start(t)
  const lane = setUp(t)
  await lane.call(request(upstream.url), never)
  t.equal(upstream.open, 1)
  await lane.close()
  await upstream.empty()
  await t.rejects(lane.call(request(upstream.url), never), { code: 'GW_DRAINING' })
})

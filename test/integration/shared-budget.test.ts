import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { quantile } from '../bench/statistics.ts'
import { startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakeAuthServer } from '../helper/fake-auth-server.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { inTime } from '../helper/in-time.ts'
import { runLending } from '../helper/lending-run.ts'
import { PinnedClients } from '../helper/pinned-clients.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(240_000) // real processes, on a machine that may be busy

async function metric(gateway: GatewayProcess, name: string): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text()
  const line = text.split('\n').find((one) => one.startsWith(`kiro_gateway_${name} `))
  return Number(line?.split(' ')[1])
}

t.test('one worker that has all clients gets the whole budget', async (t) => {
  const simulator = new Simulator()
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const env = {
    WORKERS: '2',
    WORKER_SPREAD: 'even',
    HTTP_MAX_CONNECTIONS: '40',
    HTTP_POOL_MAX_WAITING: '20'
  }
  const gateway = await startGateway({ upstreamUrl: url, env })
  t.teardown(() => gateway.destroy())
  const others = gateway.workerPids().slice(1)
  const clients = await PinnedClients.connect(t, gateway.url, { count: 60, others })
  const answers = Array.from({ length: 58 }, () => clients.chat('sim:events=20 sim:gap=50'))
  while (simulator.stats().inFlight < 38) await delay(5) // all but the reserve of two; else the test's time is up
  while ((await metric(gateway, 'pool_waiters')) < 20) await delay(5)
  const { status, text } = await clients.chat('hi')
  t.equal(status, 503, 'and all of the queue, but not more')
  t.match(text, / 40 of 40 connections in use, 20 requests waiting/)
  t.equal((await Promise.all(answers)).filter((one) => one.text.endsWith('[DONE]\n\n')).length, 58)
  t.ok(simulator.stats().connections.max <= 40)
})

t.test('a request that waits for a permit of another worker hardly waits', async (t) => {
  // Milliseconds on a quiet machine (`npm run bench` says how many), hundreds for whoever waits for the end of an answer.
  await inTime(t, 100, async () => {
    const { lent, own } = await runLending(t, 4)
    const waits = lent.filter((ms) => ms > 0.3) // the others had been lent before they were needed
    t.comment(`p50 ${quantile(waits, 0.5)} ms, of a single worker ${quantile(own, 0.5)} ms`)
    t.ok(waits.length < lent.length, `${waits.length} of ${lent.length} have waited`)
    return quantile(waits, 0.5)
  })
})

t.test('idle connections settle within HTTP_MAX_KEEPALIVE_CONNECTIONS at once', async (t) => {
  const held: ServerResponse[] = []
  const upstream = await CountingUpstream.start(t, (request, response) => {
    if (request.url?.includes('generateAssistantResponse') === true) held.push(response)
    else response.writeHead(404).end()
  })
  const gateway = await startGateway({
    upstreamUrl: upstream.url.origin,
    env: {
      WORKERS: '2',
      HTTP_MAX_CONNECTIONS: '60',
      HTTP_MAX_KEEPALIVE_CONNECTIONS: '10'
    }
  })
  t.teardown(() => gateway.destroy())
  await inTime(t, 100, async () => {
    const calls = Array.from({ length: 40 }, () => startChat(gateway.url, 'hi').answer)
    while (held.length < 40) await delay(2)
    t.ok(upstream.open >= 40)
    for (const response of held.splice(0)) response.end(Buffer.concat([textFrame('x'), endFrame]))
    const endedAt = performance.now()
    while (upstream.open > 10) await delay(1)
    const tookMs = performance.now() - endedAt
    await Promise.all(calls)
    return tookMs
  })
})

t.test('a token is renewed at once while all is in use and thousands wait', async (t) => {
  const held: ServerResponse[] = []
  const upstream = await CountingUpstream.start(t, (request, response) => {
    if (request.url?.includes('generateAssistantResponse') === true) held.push(response)
    else response.writeHead(404).end()
  })
  const auth = await new FakeAuthServer().listen()
  t.teardown(() => auth.close())
  let askedAt = NaN
  auth.beforeReply = () => {
    askedAt = performance.now()
  }
  const gateway = await startGateway({
    upstreamUrl: upstream.url.origin,
    env: {
      WORKERS: '2',
      HTTP_MAX_CONNECTIONS: '32',
      HTTP_POOL_MAX_WAITING: '5000',
      MEMORY_LIMIT: '1g', // room for all of them, whichever worker they come to
      MAX_CLIENT_CONNECTIONS: '4500',
      FIRST_TOKEN_TIMEOUT: '240', // longer than two thousand clients take to come on a busy machine
      KIRO_AUTH_URL: auth.url
    }
  })
  t.teardown(() => gateway.destroy())
  const calls = Array.from({ length: 2100 }, () => startChat(gateway.url, 'hi'))
  t.teardown(() => calls.forEach(({ request }) => request.destroy()))
  while (held.length < 30 || (await metric(gateway, 'pool_waiters')) < 2000) await delay(20)
  auth.replies.push({
    status: 200,
    body: { accessToken: 'renewed', refreshToken: 'next', expiresIn: 3600 }
  })
  const refused = held.shift()
  refused?.writeHead(403, { 'content-type': 'application/json' })
  refused?.end('{"message":"The bearer token included in the request is invalid."}')
  const refusedAt = performance.now()
  while (auth.calls.length === 0) await delay(1)
  // Some milliseconds; whoever had to wait for a connection would wait for ever, since no answer ends.
  t.ok(askedAt - refusedAt < 5000, `after ${(askedAt - refusedAt).toFixed(1)} ms`)
  t.ok(upstream.open + 1 <= 32, 'within the budget')
  t.ok((await metric(gateway, 'pool_waiters')) > 1900, 'and all the others wait still')
})

t.test(
  'four requests of a key are over long before 48 of another, whichever worker has them',
  async (t) => {
    const simulator = new Simulator()
    const { url } = await simulator.start()
    t.teardown(() => simulator.close())
    const env = {
      WORKERS: '2',
      WORKER_SPREAD: 'even',
      HTTP_MAX_CONNECTIONS: '4',
      PROXY_API_KEY: 'few-0123456789abcdef,many-0123456789abcdef'
    }
    const gateway = await startGateway({ upstreamUrl: url, env })
    t.teardown(() => gateway.destroy())
    const [one = 0, other = 0] = gateway.workerPids()
    const firsts = await PinnedClients.connect(t, gateway.url, { count: 35, others: [other] })
    const seconds = await PinnedClients.connect(t, gateway.url, { count: 17, others: [one] })
    /** When the last of so many is over. */
    const ask = async (clients: PinnedClients, key: string, count: number): Promise<number> => {
      const calls = Array.from({ length: count }, () =>
        clients.chat('sim:events=10 sim:gap=20', `${key}-0123456789abcdef`)
      )
      const answers = await Promise.all(calls)
      t.equal(answers.filter((answer) => answer.text.endsWith('[DONE]\n\n')).length, count)
      return performance.now()
    }
    const startedAt = performance.now()
    const many = [ask(firsts, 'many', 32)]
    while (simulator.stats().inFlight < 4) await delay(1) // one worker has all of them, and keeps them busy
    many.push(ask(seconds, 'many', 16))
    const few = [ask(firsts, 'few', 3), ask(seconds, 'few', 1)]
    const fewMs = Math.max(...(await Promise.all(few))) - startedAt
    const allMs = Math.max(...(await Promise.all(many))) - startedAt
    t.ok(fewMs < allMs * 0.6, `${fewMs.toFixed(0)} ms of ${allMs.toFixed(0)} ms`)
  }
)

import type { ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { quantile } from '../bench/statistics.ts'
import { startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { FakeAuthServer } from '../helper/fake-auth-server.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { inTime, ownTimeOf } from '../helper/in-time.ts'
import { runLending } from '../helper/lending-run.ts'
import { skipByDay } from '../helper/nightly.ts'
import { PinnedClients } from '../helper/pinned-clients.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

async function metric(gateway: GatewayProcess, name: string): Promise<number> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text()
  const line = text.split('\n').find((one) => one.startsWith(`kiro_gateway_${name} `))
  return Number(line?.split(' ')[1])
}

/** An upstream whose answers the test ends, in the order in which their requests came. */
async function startHolding(t: Test) {
  const held: { readonly body: string; readonly response: ServerResponse }[] = []
  const upstream = await CountingUpstream.start(t, (request, response) => {
    if (request.url?.includes('generateAssistantResponse') !== true) response.writeHead(404).end()
    else void text(request).then((body) => held.push({ body, response }))
  })
  /** So many of them. */
  const release = (count: number): void => {
    for (const { response } of held.splice(0, count))
      response.end(Buffer.concat([textFrame('x'), endFrame]))
  }
  return { upstream, held, release }
}

t.test('one worker that has all clients gets the whole budget', async (t) => {
  const { upstream, held, release } = await startHolding(t)
  upstream.ceiling = 40
  const env = {
    WORKERS: '2',
    WORKER_SPREAD: 'even',
    HTTP_MAX_CONNECTIONS: '40',
    HTTP_POOL_MAX_WAITING: '20',
    FIRST_TOKEN_TIMEOUT: '240'
  }
  const gateway = await startGateway({ upstreamUrl: upstream.url.origin, env })
  t.teardown(() => gateway.destroy())
  const others = gateway.workerPids().slice(1)
  const clients = await PinnedClients.connect(t, gateway.url, { count: 60, others })
  const answers = Array.from({ length: 58 }, () => clients.chat('hi'))
  while (held.length < 38) await delay(5) // all but the reserve of two; else the test's time is up
  while ((await metric(gateway, 'pool_waiters')) < 20) await delay(5)
  const refused = await clients.chat('hi')
  t.equal(refused.status, 503, 'and all of the queue, but not more')
  t.match(refused.text, / 40 of 40 connections in use, 20 requests waiting/)
  release(38)
  while (held.length < 20) await delay(5)
  release(20)
  t.equal((await Promise.all(answers)).filter((one) => one.text.endsWith('[DONE]\n\n')).length, 58)
  t.ok(upstream.max <= 40)
})

t.test(
  'a request that waits for a permit of another worker hardly waits',
  { skip: skipByDay },
  async (t) => {
    // Milliseconds on a quiet machine (`npm run bench` says how many), hundreds for whoever waits for the end of an answer.
    await inTime(t, 100, async () => {
      const { lent, own } = await runLending(t, 4)
      const waits = lent.filter((ms) => ms > 0.3) // the others had been lent before they were needed
      t.comment(`p50 ${quantile(waits, 0.5)} ms, of a single worker ${quantile(own, 0.5)} ms`)
      t.ok(waits.length < lent.length, `${waits.length} of ${lent.length} have waited`)
      return quantile(waits, 0.5)
    })
  }
)

t.test(
  'idle connections settle within HTTP_MAX_KEEPALIVE_CONNECTIONS at once',
  { skip: skipByDay },
  async (t) => {
    const { upstream, held, release } = await startHolding(t)
    const gateway = await startGateway({
      upstreamUrl: upstream.url.origin,
      env: {
        WORKERS: '2',
        HTTP_MAX_CONNECTIONS: '60',
        HTTP_MAX_KEEPALIVE_CONNECTIONS: '10'
      }
    })
    t.teardown(() => gateway.destroy())
    const timed = ownTimeOf(t, [gateway.child.pid ?? 0, ...gateway.workerPids()])
    await inTime(t, 100, async () => {
      const calls = Array.from({ length: 40 }, () => startChat(gateway.url, 'hi').answer)
      while (held.length < 40) await delay(2)
      t.ok(upstream.open >= 40)
      const tookMs = await timed(async () => {
        release(40)
        while (upstream.open > 10) await delay(1)
      })
      await Promise.all(calls)
      return tookMs
    })
  }
)

t.test(
  'a token is renewed at once while all is in use and a thousand wait',
  { skip: skipByDay },
  async (t) => {
    const { upstream, held } = await startHolding(t)
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
        HTTP_POOL_MAX_WAITING: '2000',
        MEMORY_LIMIT: '1g', // room for all of them, whichever worker they come to
        MAX_CLIENT_CONNECTIONS: '2000',
        FIRST_TOKEN_TIMEOUT: '240', // longer than a thousand clients take to come on a busy machine
        HEARTBEAT_INTERVAL: '240', // with its first heartbeat a request has its status, and no second try
        KIRO_AUTH_URL: auth.url
      }
    })
    t.teardown(() => gateway.destroy())
    const calls = Array.from({ length: 1100 }, () => startChat(gateway.url, 'hi'))
    t.teardown(() => calls.forEach(({ request }) => request.destroy()))
    while (held.length < 30 || (await metric(gateway, 'pool_waiters')) < 1000) await delay(20)
    auth.replies.push({
      status: 200,
      body: { accessToken: 'renewed', refreshToken: 'next', expiresIn: 3600 }
    })
    const refused = held.shift()?.response
    refused?.writeHead(403, { 'content-type': 'application/json' })
    refused?.end('{"message":"The bearer token included in the request is invalid."}')
    const refusedAt = performance.now()
    while (auth.calls.length === 0) await delay(1)
    // Some milliseconds; whoever had to wait for a connection would wait for ever, since no answer ends.
    t.comment(`after ${(askedAt - refusedAt).toFixed(1)} ms`)
    t.ok(upstream.open + 1 <= 32, 'within the budget')
    t.ok((await metric(gateway, 'pool_waiters')) > 950, 'and all the others wait still')
  }
)

function askAs(clients: PinnedClients, key: string, count: number) {
  return Array.from({ length: count }, () => clients.chat(`of ${key}`, `${key}-0123456789abcdef`))
}

t.test(
  'four requests of a key are over long before 48 of another, whichever worker has them',
  async (t) => {
    const { upstream, held, release } = await startHolding(t)
    const env = {
      WORKERS: '2',
      WORKER_SPREAD: 'even',
      HTTP_MAX_CONNECTIONS: '4',
      FIRST_TOKEN_TIMEOUT: '240',
      PROXY_API_KEY: 'few-0123456789abcdef,many-0123456789abcdef'
    }
    const gateway = await startGateway({ upstreamUrl: upstream.url.origin, env })
    t.teardown(() => gateway.destroy())
    const [one = 0, other = 0] = gateway.workerPids()
    const firsts = await PinnedClients.connect(t, gateway.url, { count: 35, others: [other] })
    const seconds = await PinnedClients.connect(t, gateway.url, { count: 17, others: [one] })
    const answers = askAs(firsts, 'many', 32)
    while (held.length < 4) await delay(5) // one worker has all of them, and keeps them busy
    answers.push(
      ...askAs(seconds, 'many', 16),
      ...askAs(firsts, 'few', 3),
      ...askAs(seconds, 'few', 1)
    )
    while ((await metric(gateway, 'pool_waiters')) < 48) await delay(5)
    /** Of each: whose it is. */
    const ended: string[] = []
    while (ended.length < 52) {
      while (held.length < Math.min(4, 52 - ended.length)) await delay(1)
      ended.push(held[0]?.body.includes('of few') === true ? 'few' : 'many')
      release(1)
    }
    const before = ended.slice(0, ended.lastIndexOf('few')).filter((key) => key === 'many').length
    t.ok(before < 24, `after ${before} of the others`)
    const whole = (await Promise.all(answers)).filter((one) => one.text.endsWith('[DONE]\n\n'))
    t.equal(whole.length, 52)
  }
)

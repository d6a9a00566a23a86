import type { ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
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

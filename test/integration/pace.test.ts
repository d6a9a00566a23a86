import type { ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { allHeard } from '../helper/all-heard.ts'
import { ArrivalUpstream, mostWithin } from '../helper/arrivals.ts'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const KEYS = { a: 'the-first-key-0123', b: 'the-other-key-0123' } as const

async function setUp(t: Test, envFile: Readonly<Record<string, string>> = {}) {
  const upstream = await ArrivalUpstream.start(t)
  const gateway = await startGateway({
    upstreamUrl: upstream.url,
    env: { WORKERS: '2', PROXY_API_KEY: Object.values(KEYS).join(), RETRY_BUDGET_PERCENT: '100' },
    envFile
  })
  t.teardown(() => gateway.destroy())
  const ask = (key: keyof typeof KEYS) =>
    startChat(gateway.url, `key-${key}`, { headers: { authorization: `Bearer ${KEYS[key]}` } })
  return { upstream, gateway, ask }
}

async function metric(gateway: GatewayProcess, name: string): Promise<number> {
  const headers = { authorization: `Bearer ${KEYS.a}` }
  const text = await (await fetch(`${gateway.url}/metrics`, { headers })).text()
  const line = text.split('\n').find((one) => one.startsWith(`kiro_gateway_${name} `))
  return Number(line?.split(' ')[1])
}

/** Resolves when a worker serves that was started after this. */
async function nextWorker(gateway: GatewayProcess, cause: () => unknown): Promise<void> {
  const before = gateway.lines.length
  cause()
  await gateway.logged(
    ({ msg, state }) => msg === 'worker changed state' && state === 'ready',
    before
  )
}

/** Long enough for whatever would go too early. */
const QUIET_MS = 600

/** Milliseconds by phase, as `Server-Timing` has them. */
function phasesOf(timing: string): Readonly<Record<string, number>> {
  const parts = timing.matchAll(/(\w+);dur=([\d.]+)/g)
  return Object.fromEntries(Array.from(parts, ([, name, ms]) => [name, Number(ms)]))
}

function refuseWith(response: ServerResponse, body: object, retryAfter?: string): true {
  const headers = retryAfter === undefined ? {} : { 'retry-after': retryAfter }
  response.writeHead(429, { 'content-type': 'application/json', ...headers })
  response.end(JSON.stringify(body))
  return true
}

t.test('UPSTREAM_MAX_REQUESTS_PER_MINUTE', async (t) => {
  const { upstream, gateway, ask } = await setUp(t, { UPSTREAM_MAX_REQUESTS_PER_MINUTE: '1' })
  const { arrivals } = upstream
  // One key asks for more.
  const calls = Array.from({ length: 100 }, (_, index) => ask(index % 5 < 3 ? 'a' : 'b'))
  while ((await metric(gateway, 'gated_requests')) + arrivals.length < 100) await delay(20)
  // On a slow machine a minute may pass at any place.
  const most = () => mostWithin(arrivals, 60_000)
  t.equal(most(), 1)
  const from = arrivals.length
  await gateway.reload({ UPSTREAM_MAX_REQUESTS_PER_MINUTE: '40' })
  while (arrivals.length < 40) await delay(5)
  await delay(QUIET_MS)
  t.ok(most() <= 40, 'in the first minute')
  const together = arrivals.slice(from, 40)
  const ofA = together.filter(({ key }) => key === 'a').length
  t.ok(Math.abs(2 * ofA - together.length) <= 2, `${ofA} of ${together.length} of one key`)
  // A busy worker's figures may come with the next ones.
  while ((await metric(gateway, 'gated_requests')) + arrivals.length !== 100) await delay(20)
  while ((await metric(gateway, 'upstream_requests_per_minute_free')) !== 0) await delay(20)

  await nextWorker(gateway, () => process.kill(gateway.workerPids()[0] ?? 0, 'SIGKILL'))
  calls.push(...Array.from({ length: 20 }, () => ask('b')))
  await delay(QUIET_MS)
  t.ok(most() <= 40, 'a worker that follows another begins with nothing')

  await gateway.reload({ UPSTREAM_MAX_REQUESTS_PER_MINUTE: '50' })
  while (arrivals.length < 50) await delay(5)
  await delay(QUIET_MS)
  t.ok(most() <= 50, 'a new value counts what was sent under the old one')
  await gateway.reload({ UPSTREAM_MAX_REQUESTS_PER_MINUTE: '45' })
  await nextWorker(gateway, () => gateway.child.kill('SIGUSR2'))
  await delay(QUIET_MS)
  t.ok(most() <= 50, 'and so do workers that replace others')

  await gateway.reload({ UPSTREAM_MAX_REQUESTS_PER_MINUTE: 'none' })
  const answers = await Promise.all(calls.map(({ answer }) => answer))
  const refused = answers.filter((answer) => !isComplete(answer) && !answer.isCut)
  t.same(refused, [], 'whoever has lost no worker was answered')
  const waits = answers.map(({ headers }) => phasesOf(String(headers['server-timing'])))
  t.ok(
    waits.some(({ pace = 0 }) => pace > QUIET_MS),
    'a wait for the pace is told as that'
  )
  const paced = waits.filter(({ pace = 0 }) => pace > QUIET_MS)
  t.ok(
    paced.every(({ pace = 0, queue = 0 }) => queue < pace),
    'and not as one for a connection'
  )
  while ((await metric(gateway, 'gated_requests')) !== 0) await delay(20)
})

/** Not over before all have asked, also on a busy machine. */
const PAUSE_MS = 10_000

t.test('a pause that the upstream asks for holds for all workers', async (t) => {
  const { upstream, gateway, ask } = await setUp(t)
  const { arrivals } = upstream
  let refusedAt: number | null = null
  upstream.refuse = (response) => {
    if (refusedAt !== null) return false
    refusedAt = performance.now()
    const body = { __type: 'ThrottlingException', message: 'Too many requests.', reason: null }
    return refuseWith(response, body, String(PAUSE_MS / 1000))
  }
  const calls = [ask('a')]
  while (refusedAt === null) await delay(5)
  await gateway.logged(({ msg }) => msg === 'upstream asked for a pause')
  await allHeard(gateway, KEYS.a)
  for (let i = 0; i < 20; i += 1) calls.push(ask('b'))
  const answers = await Promise.all(calls.map(({ answer }) => answer))
  t.equal(answers.filter(isComplete).length, 21)
  const waits = answers.slice(1).map(({ headers }) => phasesOf(String(headers['server-timing'])))
  const paused = waits.filter(({ pause = 0 }) => pause > PAUSE_MS / 5)
  t.ok(paused.length > 0)
  for (const spent of paused) {
    const { pause = 0, queue = 0 } = spent
    t.ok(queue < pause / 4, `told as what it was: ${JSON.stringify(spent)}`)
  }
  const times = arrivals.slice(1).map(({ at }) => at - Number(refusedAt))
  t.equal(times.length, 21)
  const [first, last] = [Math.min(...times), Math.max(...times)]
  t.ok(first > PAUSE_MS - 50, `the first came after ${first.toFixed(0)} ms`)
  t.ok(last - first > 200, `and the others within ${(last - first).toFixed(0)} ms`)
})

t.test('a suspicion stops all workers, and those that follow them', async (t) => {
  const { upstream, gateway, ask } = await setUp(t)
  const { arrivals } = upstream
  const message = 'Due to suspicious activity, we are imposing temporary limits.'
  upstream.refuse = (response) =>
    refuseWith(response, { __type: 'ThrottlingException', message, reason: null })
  const isRefused = async () => {
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask('a').answer))
    return answers.every(
      ({ status, text }) => status === 429 && text.includes('account_restricted')
    )
  }
  t.equal((await ask('a').answer).status, 429)
  while ((await metric(gateway, 'account_bars{bar="suspicion"}')) !== 1) await delay(20)
  await allHeard(gateway, KEYS.a)
  t.ok(await isRefused())
  for (const pid of gateway.workerPids()) {
    await nextWorker(gateway, () => process.kill(pid, 'SIGKILL'))
  }
  t.ok(await isRefused(), 'by new workers, too')
  for (let i = 0; i < 6; i += 1) {
    const headers = { connection: 'close', authorization: `Bearer ${KEYS.a}` } // others hear whether, not why
    const ready = await fetch(`${gateway.url}/readyz`, { headers })
    t.equal(ready.status, 503)
    t.match(await ready.text(), /suspects abuse.*asks the upstream again after 20\d\d-/)
  }
  t.equal(arrivals.length, 1, 'one call in all')
})

t.test('a request that waits to be asked again does not hold up the end', async (t) => {
  const { upstream, gateway, ask } = await setUp(t)
  upstream.refuse = (response) => refuseWith(response, { message: 'Slow.', reason: null }, '50')
  const { answer } = ask('a')
  await gateway.logged(({ msg }) => msg === 'retrying upstream')
  gateway.child.kill('SIGTERM')
  const told = await Promise.race([answer, delay(25_000, undefined, { ref: false })])
  t.equal(told?.status, 503)
  t.equal(upstream.arrivals.length, 1)
})

import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { allHeard } from '../helper/all-heard.ts'
import { type ChatCall, startChat } from '../helper/chat-client.ts'
import { DashboardReader } from '../helper/dashboard-reader.ts'
import { startSimulator } from '../helper/run-simulator.ts'
import { FakeAuthServer } from '../helper/fake-auth-server.ts'
import {
  type GatewayOptions,
  type GatewayProcess,
  startGateway
} from '../helper/gateway-process.ts'
import { ownTimeOf } from '../helper/in-time.ts'
import { skipByDay } from '../helper/nightly.ts'

/*
 * What the dashboard's page is told by a real gateway; in a browser: dashboard-in-browser.test.ts.
 */

t.setTimeout(600_000) // real processes, on a machine that may be busy

const KEY = 'a-key-of-the-operator'
const withKey = { authorization: `Bearer ${KEY}` }
/** What has happened is shown so soon after. */
const SOON_MS = 2_000

async function setUp(t: Test, options: GatewayOptions = {}): Promise<GatewayProcess> {
  const env = { WORKERS: '2', STATE_DIR: 'state', PROXY_API_KEY: KEY, ...options.env }
  const gateway = await startGateway({ ...options, env })
  t.teardown(() => gateway.destroy())
  return gateway
}

function watch(t: Test, { url }: GatewayProcess, headers: Record<string, string> = withKey) {
  const reader = new DashboardReader(url, headers)
  t.teardown(() => reader.close())
  return reader
}

/** A page that goes on when its connection ends, as browsers do. */
async function watchOn(t: Test, gateway: GatewayProcess): Promise<DashboardReader> {
  for (;;) {
    const reader = watch(t, gateway)
    await reader.until(({ status, isOver }) => status > 0 || isOver)
    if (reader.status === 200) {
      const first = await reader.until(({ now }) => now !== null).catch(() => null)
      if (first !== null) return first
    }
    await delay(100)
  }
}

/** What a page is shown first may have been looked at 200 ms ago. */
function allReady({ now }: DashboardReader): boolean {
  return now?.workers.every(({ state }) => state === 'ready') === true
}

function chat({ url }: GatewayProcess, prompt: string): ChatCall {
  return startChat(url, prompt, { headers: withKey })
}

type Sum = (name: string, label?: string) => number

async function metricsOf({ url }: GatewayProcess): Promise<Sum> {
  const text = await (await fetch(`${url}/metrics`, { headers: withKey })).text()
  const lines = text.split('\n')
  return (name, label = '') =>
    lines
      .filter((line) => line.startsWith(`${name}{`) || line.startsWith(`${name} `))
      .filter((line) => line.includes(label))
      .reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
}

t.test('what happens is shown within two seconds, to the digit', async (t) => {
  const gateway = await setUp(t)
  const page = await watchOn(t, gateway)
  await page.until(allReady)
  t.match(page.now, { requests: { total: 0, inFlight: 0 }, workers: [{ restarts: 0 }, {}] })
  t.match(page.account?.signIn, { isUsable: true, state: 'simulator' })

  const timed = ownTimeOf(t, [gateway.child.pid ?? 0, ...gateway.workerPids()])
  const open = chat(gateway, 'sim:events=2000 sim:gap=200')
  await open.firstBytes
  const openMs = await timed(() => page.until(({ now }) => now?.requests.streams === 1))
  t.ok(openMs < SOON_MS + 1_000, `a stream is shown after ${Math.round(openMs)} ms`)
  // What workers have leased and what they serve is told at different moments.
  await page.until(({ now }) => now?.connections.inUse === 1 && now.connections.budget === 300)
  await page.until(({ now }) => now?.running[0]?.step === 'answering')
  t.match(page.now?.running, [{ id: /^req_/, key: 'operator', model: /claude/, worker: Number }])
  t.ok(Math.abs(Date.now() - (page.now?.running[0]?.at ?? 0)) < 600_000)

  const answers = await Promise.all(Array.from({ length: 5 }, () => chat(gateway, 'hi').answer))
  t.ok(answers.every(({ status }) => status === 200))
  const endedMs = await timed(async () => {
    await page.until(({ requests }) => requests.length === 5)
    await page.until(({ now }) => now?.requests.total === 5)
  })
  t.ok(endedMs < SOON_MS, `requests that have ended are shown after ${Math.round(endedMs)} ms`)
  for (const one of page.requests) {
    t.match(one, {
      key: 'operator',
      dialect: 'openai-chat',
      route: '/v1/chat/completions',
      status: 200,
      code: '',
      isStream: true,
      attempts: 1,
      repairs: []
    })
    t.ok(one.totalMs > 0 && one.bodyBytes > 0 && one.outputTokens > 0 && one.credits > 0)
    t.ok([1, 2].includes(one.worker))
    t.ok(Object.keys(one.phasesMs).includes('stream'), JSON.stringify(one.phasesMs))
  }
  t.equal(new Set(page.requests.map(({ n }) => n)).size, 5)

  open.request.destroy()
  await page.until(({ now }) => now?.requests.total === 6)
  t.match(page.now?.errors, [{ code: 'GW_CLIENT_CLOSED', total: 1, lastHour: 1 }])
  await page.until(({ now }) => now?.running.length === 0)
  const sum = await metricsOf(gateway)
  const { now } = await page.until(({ events }) => events.at(-1) === 'tick')
  t.equal(now?.requests.total, sum('kiro_gateway_requests_total'))
  t.equal(now?.requests.failed, 0, 'a client that left is no failure of the gateway')
  t.equal(now?.requests.perMinute, 6, 'all of them within the minute')
  t.equal(now?.tokens.input, sum('kiro_gateway_tokens_total', 'type="input"'))
  t.equal(now?.tokens.output, sum('kiro_gateway_tokens_total', 'type="output"'))
  t.equal(now?.credits.total, Number(sum('kiro_gateway_credits_total').toFixed(6)))
  t.equal(now?.credits.perHour, now?.credits.total)
  const shown = page.requests.reduce((tokens, one) => tokens + one.outputTokens, 0)
  t.equal(shown, now?.tokens.output, 'the rows add up to the sum')
  const firsts = page.requests.flatMap(({ firstMs }) => firstMs ?? [])
  const median = now?.latency.firstMs?.p50 ?? -1
  t.ok(median >= Math.min(...firsts) && median <= Math.max(...firsts), `median ${median}`)
  t.ok((now?.memory.usedBytes ?? 0) > 50_000_000)
  t.same(
    now?.processes.map(({ name }) => name),
    ['primary', 'worker 1', 'worker 2']
  )
  t.ok(now?.processes.every(({ rssBytes, loopDelayMs }) => (rssBytes ?? 0) > 0 && loopDelayMs))
  await page.until(({ account }) => account?.quota?.remaining !== undefined)
  t.match(page.account?.quota, { unit: 'credits', problem: null })
})

t.test(
  'through five reloads and the death of a worker the page is what metrics are and clients counted',
  async (t) => {
    const settings = { HTTP_MAX_CONNECTIONS: '60' }
    const gateway = await setUp(t, { envFile: settings })
    const calls: ChatCall[] = []
    for (let reload = 1; reload <= 5; reload++) {
      for (let n = 0; n < 16; n++) calls.push(chat(gateway, 'sim:events=20 sim:gap=10'))
      await gateway.reload({ ...settings, HTTP_MAX_KEEPALIVE_CONNECTIONS: String(10 * reload) })
    }
    const answers = await Promise.all(calls.map(({ answer }) => answer))
    const whole = answers.filter(({ text }) => text.includes('data: [DONE]')).length
    t.equal(whole, 80)
    const long = Array.from({ length: 20 }, () => chat(gateway, 'sim:events=900 sim:gap=500'))
    await Promise.all(long.map(({ firstBytes }) => firstBytes))
    const before = await watchOn(t, gateway)
    await before.until(({ now }) => now?.requests.inFlight === 20)

    const [pid] = gateway.workerPids()
    if (pid === undefined) throw new Error('there is no worker')
    process.kill(pid, 'SIGKILL')
    const page = await watchOn(t, gateway)
    await page.until(({ now }) => now?.workerRestarts === 1)
    await page.until(allReady)
    t.equal(
      page.now?.workers.reduce((sum, { restarts }) => sum + restarts, 0),
      1,
      'the death shows, and passes'
    )
    for (const { request } of long) request.destroy()
    const ends = await Promise.all(long.map(({ answer }) => answer.catch(() => null)))
    t.equal(ends.length, 20)
    const last = await watchOn(t, gateway)
    await last.until(({ now }) => now?.requests.inFlight === 0)
    const lost = (await metricsOf(gateway))('kiro_gateway_requests_lost_total')
    await last.until(({ now }) => now?.requests.total === 100 - lost) // a row comes after its request has ended
    const sum = await metricsOf(gateway)
    t.equal(last.now?.requests.total, sum('kiro_gateway_requests_total'))
    const left = last.now?.errors.find(({ code }) => code === 'GW_CLIENT_CLOSED')?.total ?? 0
    t.equal((last.now?.requests.failed ?? 0) + left, 20 - lost)
    const without = (last.now?.requests.total ?? 0) - (last.now?.requests.failed ?? 0) - left
    t.equal(without, whole, 'what clients have got')
    t.equal(last.now?.tokens.output, sum('kiro_gateway_tokens_total', 'type="output"'))
    t.equal(last.now?.tokens.input, sum('kiro_gateway_tokens_total', 'type="input"'))
    t.equal(last.now?.credits.total, Number(sum('kiro_gateway_credits_total').toFixed(6)))
    await last.until(({ requests }) => requests.length === 100 - lost)
  }
)

/** The sentence that leads the page, with what it knows. */
function verdictOf({ now }: DashboardReader) {
  if (now === null) throw new Error('nothing was told')
  return now.verdict
}

t.test('requests that fail are not well, and say why', async (t) => {
  const { url: upstreamUrl } = await startSimulator(t)
  const gateway = await setUp(t, { upstreamUrl, env: { WORKERS: '1', UPSTREAM_MAX_ATTEMPTS: '1' } })
  const page = await watchOn(t, gateway)
  await page.until(allReady)
  const failed = (count: number) => page.until(({ now }) => now?.requests.failing?.count === count)
  t.equal((await chat(gateway, 'sim:html').answer).status, 502)
  await failed(1)
  t.match(verdictOf(page), { level: 'amber', sentence: 'The last request failed.' })
  await page.until(({ requests }) => requests.length === 1)
  t.match(page.requests, [
    {
      code: 'GW_UPSTREAM_STATUS',
      fault: 'upstream',
      failure: {
        reason: /HTTP 403 with a web page/,
        detail: /upstream status 403/,
        upstreamStatus: 403,
        upstreamId: /./
      }
    }
  ])
  const invalid = await fetch(`${gateway.url}/v1/chat/completions`, {
    method: 'POST',
    headers: { ...withKey, 'content-type': 'application/json' },
    body: '{"model": 1}'
  })
  t.equal(invalid.status, 400)
  await page.until(({ requests }) => requests.some(({ fault }) => fault === 'client'))
  for (let count = 0; count < 2; count++) await chat(gateway, 'sim:overloaded').answer
  await failed(3)
  t.match(verdictOf(page), { level: 'red', sentence: 'The last 3 requests failed.' })
  t.equal((await chat(gateway, 'hi').answer).status, 200)
  await page.until(({ now }) => now?.requests.failing === null)
  t.equal(page.now?.requests.failed, 3, 'the mistake of a client is not among them')
})

t.test('an answer that is not what was asked for says so', async (t) => {
  const gateway = await setUp(t, { env: { WORKERS: '1' } })
  const page = await watchOn(t, gateway)
  const ask = async (body: object): Promise<string | null> => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { ...withKey, 'content-type': 'application/json' },
      body: JSON.stringify({ model: 'claude-sonet-4.5', ...body })
    })
    t.equal(response.status, 200)
    await response.text()
    return response.headers.get('x-kiro-gateway-model')
  }
  const content = 'sim:truncated-tool use tool get_weather with {"city":"Oslo"}'
  const parameters = { type: 'object', properties: { city: { type: 'string' } } }
  const model = await ask({
    messages: [{ role: 'user', content }],
    tools: [{ type: 'function', function: { name: 'get_weather', parameters } }]
  })
  t.match(model, /^claude-sonnet-/)
  await page.until(({ requests }) => requests.length === 1)
  t.match(page.requests, [{ code: '', lostCalls: 1, model, modelAsked: 'claude-sonet-4.5' }])
  const line = await gateway.logged(({ msg }) => msg === 'tool call lost')
  t.match(line, { level: 'warn', lost_calls: 1, status: 200, stop_reason: 'length' })
})

t.test('a dead sign-in is told once, and not as what comes of it', async (t) => {
  const services = await new FakeAuthServer('another').listen()
  t.teardown(() => services.close())
  const env = {
    WORKERS: '1',
    REFRESH_TOKEN: 'a-refresh-token-0123456789',
    KIRO_AUTH_URL: services.url
  }
  const gateway = await setUp(t, { env })
  const page = await watchOn(t, gateway)
  await page.until(({ account }) => account?.signIn.state === 'signed-out')
  const refused = await chat(gateway, 'hi').answer
  t.equal(refused.status, 401)
  await page.until(({ requests }) => requests.length === 1)
  const { problems, level } = verdictOf(page)
  t.equal(level, 'red')
  t.match(
    problems.map(({ what, remedy }) => `${what} ${remedy}`),
    [/^The sign-in has ended\. .*set REFRESH_TOKEN to the new refresh token, and restart\.$/]
  )
})

t.test('without the record of usage the page is told all the same', async (t) => {
  const gateway = await setUp(t, { env: { WORKERS: '1', USAGE_LOG: 'false', PROXY_API_KEY: '' } })
  const page = watch(t, gateway, {})
  await page.until(({ now }) => now !== null)
  await startChat(gateway.url, 'hi').answer
  await page.until(({ now, requests }) => now?.requests.total === 1 && requests.length === 1)
  t.match(page.requests, [{ key: 'anyone', status: 200 }])
})

t.test('a session ends with its key, and the dashboard with its setting', async (t) => {
  const gateway = await setUp(t, { env: { PROXY_API_KEY: '' }, envFile: { PROXY_API_KEY: KEY } })
  const { url } = gateway
  const signIn = await fetch(`${url}/dashboard/session`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ key: KEY })
  })
  t.equal(signIn.status, 200)
  const cookie = signIn.headers.getSetCookie()[0]?.split(';', 1)[0] ?? ''
  const page = watch(t, gateway, { cookie })
  await page.until(({ now }) => now !== null)
  const [pid] = gateway.workerPids()
  if (pid === undefined) throw new Error('there is no worker')
  process.kill(pid, 'SIGKILL')
  await gateway.logged((line) => line['msg'] === 'worker died')
  const again = watch(t, gateway, { cookie })
  await again.until(({ now }) => now !== null)
  t.pass('the session is good for every worker')

  await gateway.reload({ PROXY_API_KEY: 'another-key-of-the-operator' })
  await again.until(({ events }) => events.at(-1) === 'leaving')
  const statusOf = async (path: string) =>
    (await fetch(`${url}${path}`, { headers: { cookie } })).status
  await allHeard(gateway, 'another-key-of-the-operator')
  t.equal(await statusOf('/dashboard/events'), 401)
  t.equal(await statusOf('/'), 200)
  await gateway.reload({ PROXY_API_KEY: KEY, DASHBOARD: 'off' })
  for (const path of ['/', '/dashboard/session'])
    while ((await statusOf(path)) !== 404) await delay(20) // workers hear of it a moment later
  await gateway.reload({ PROXY_API_KEY: KEY })
  await allHeard(gateway, KEY)
  const back = watch(t, gateway, { cookie })
  await back.until(({ now }) => now !== null)
  t.pass('on again, and the same key opens it')
})

t.test('guesses of a key are few, at each of two workers', async (t) => {
  const { url } = await setUp(t)
  const guess = async (key: string): Promise<number> => {
    const headers = { 'content-type': 'application/json', connection: 'close' }
    const body = JSON.stringify({ key })
    return (await fetch(`${url}/dashboard/session`, { method: 'POST', headers, body })).status
  }
  const statuses = await Promise.all(Array.from({ length: 40 }, (_, n) => guess(`guess-${n}`)))
  const told = statuses.filter((status) => status === 401).length
  t.ok(told >= 5 && told <= 10, `${told} are told to be wrong`)
  t.equal(statuses.filter((status) => status === 429).length, 40 - told)
  t.equal(await guess(KEY), 200, 'the right one is let in all the same')
})

/** A page that has asked for its events and reads none of them. */
function watchDeaf(t: Test, { url }: GatewayProcess): void {
  const { hostname, port } = new URL(url)
  const socket = connect({ host: hostname, port: Number(port) })
  socket.on('error', () => {}).pause()
  socket.write(
    `GET /dashboard/events HTTP/1.1\r\nHost: ${hostname}:${port}\r\nAuthorization: Bearer ${KEY}\r\n\r\n`
  )
  t.teardown(() => socket.destroy())
}

t.test(
  'fifty pages that never read hold up neither requests nor a page that does',
  { skip: skipByDay },
  async (t) => {
    const gateway = await setUp(t)
    for (let n = 0; n < 50; n++) watchDeaf(t, gateway)
    const page = await watchOn(t, gateway)
    await page.until(({ now }) => now?.dashboards === 51)
    for (let n = 0; n < 20; n++) await chat(gateway, 'hi').answer
    await page.until(({ requests }) => requests.length === 20)
    const before = page.events.length
    await page.until(({ events }) => events.length >= before + 3)
    t.equal(page.now?.dashboards, 51, 'they are still there')
    t.equal(await gateway.stop(), 0, 'they hold up no shutdown either')
    t.ok(page.events.includes('leaving'))
  }
)

t.test('sixty pages work, and there are never too many', { skip: skipByDay }, async (t) => {
  const gateway = await setUp(t)
  const pages = Array.from({ length: 80 }, () => watch(t, gateway))
  for (const page of pages) await page.until(({ status }) => status > 0)
  const there = pages.filter(({ status }) => status === 200)
  t.equal(there.length, 64)
  t.equal(pages.filter(({ status }) => status === 503).length, 16)
  for (const page of there) await page.until(({ now }) => now?.dashboards === 64)
  await chat(gateway, 'hi').answer
  for (const page of there) await page.until(({ requests }) => requests.length === 1)
  for (const page of there.slice(0, 30)) page.close()
  await there[40]?.until(({ now }) => (now?.dashboards ?? 64) <= 34)
  const more = await watchOn(t, gateway)
  t.equal(more.requests.length, 1, 'there is room again')

  const began = performance.now()
  t.equal(await gateway.stop(), 0)
  t.ok(performance.now() - began < 10_000, 'open pages hold up no shutdown')
  for (const page of there.slice(30)) t.ok(page.events.includes('leaving'))
})

import { request, type ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { changeKeys, keysPath, makeKey, makeKeyId } from '../../src/keys/key-store.ts'
import type { NamedKey } from '../../src/keys/key.ts'
import { type ChatAnswer, isComplete, startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { DashboardReader } from '../helper/dashboard-reader.ts'
import { namedKey } from '../helper/named-key.ts'
import { skipByDay } from '../helper/nightly.ts'
import { stateFolder } from '../helper/state-folder.ts'
import { endFrame, eventFrame, textFrame } from '../helper/upstream-frames.ts'

// What workers and gateways held when they were killed, and restarts: test/integration/credits-chaos.test.ts.

t.setTimeout(600_000) // real processes, on a machine that may be busy

function metering(usage: unknown): Buffer {
  return eventFrame('meteringEvent', { unit: 'credit', usage })
}

/** Behind an answer: it costs one credit. */
const ONE = Buffer.concat([endFrame, metering(1)])

/** An upstream whose answers cost one credit each, and wait for their end. */
class MeteringUpstream {
  readonly counting: CountingUpstream
  readonly held: ServerResponse[] = []
  /** Answers that were let end. */
  metered = 0
  asked = 0
  isHolding = true
  /** What comes behind an answer. */
  trailer: Buffer = ONE

  private constructor(counting: CountingUpstream) {
    this.counting = counting
    counting.onRequest = (request, response) => {
      if (request.url?.includes('generateAssistantResponse') !== true) {
        response.writeHead(404).end()
        return
      }
      this.asked += 1
      response.write(textFrame('x'))
      this.held.push(response)
      if (!this.isHolding) this.release()
    }
  }

  static async start(t: Test): Promise<MeteringUpstream> {
    return new MeteringUpstream(await CountingUpstream.start(t))
  }

  release(): void {
    for (const response of this.held.splice(0)) {
      if (response.destroyed) continue
      this.metered += 1
      response.end(this.trailer)
    }
  }
}

/** Makes a key; returns what a client has to send. */
async function addKey(
  stateDir: string,
  limits: Partial<NamedKey>
): Promise<Record<string, string>> {
  const { text, sha256 } = makeKey()
  const key = namedKey({
    id: makeKeyId(),
    name: 'anna',
    hashes: [{ sha256, until: null }],
    ...limits
  })
  const { signal } = new AbortController()
  await changeKeys(keysPath(stateDir), (keys) => [...keys, key], signal)
  return { 'x-api-key': text }
}

interface Usage {
  readonly used: number
  readonly reserved: number
  readonly last_30_days: { readonly credits: number; readonly failed: number }
}

async function usageOf(gateway: GatewayProcess, headers: Record<string, string>): Promise<Usage> {
  const answer = await fetch(`${gateway.url}/v1/usage`, { headers })
  return (await answer.json()) as Usage
}

interface Rig {
  readonly stateDir: string
  readonly upstream: MeteringUpstream
  readonly headers: Record<string, string>
  /** Returns what a client has to send. */
  readonly addKey: (limits: Partial<NamedKey>) => Promise<Record<string, string>>
  /** Resolves once the gateway knows what an answer costs, from one to another key. */
  readonly start: (workers: number, env?: Record<string, string>) => Promise<GatewayProcess>
}

async function setUp(t: Test, limits: Partial<NamedKey>): Promise<Rig> {
  const stateDir = stateFolder(t)
  const upstream = await MeteringUpstream.start(t)
  const headers = await addKey(stateDir, limits)
  const teacher = await addKey(stateDir, { name: 'teacher' })
  const start: Rig['start'] = async (workers, env = {}) => {
    const gateway = await startGateway({
      upstreamUrl: upstream.counting.url.origin,
      env: { STATE_DIR: stateDir, WORKERS: String(workers), WORKER_STALL_TIMEOUT: 'none', ...env }
    })
    t.teardown(() => gateway.destroy())
    const { isHolding } = upstream
    upstream.isHolding = false
    await startChat(gateway.url, 'hi', { headers: teacher }).answer
    upstream.isHolding = isHolding
    upstream.asked -= 1
    upstream.metered -= 1
    return gateway
  }
  return { stateDir, upstream, headers, start, addKey: (more) => addKey(stateDir, more) }
}

const TEN_IN_ALL = { credits: { limit: 10, period: 'total' } } as const

function isRefused({ status, text, headers }: ChatAnswer): boolean {
  return (
    status === 429 &&
    text.includes('The key \\"anna\\" has a limit of 10 credits in all') &&
    headers['x-should-retry'] === 'false'
  )
}

/** Sends so many at once; the answers end when all the others are refused. */
async function rush({ upstream, headers }: Rig, gateway: GatewayProcess, count: number) {
  upstream.isHolding = true
  let refused = 0
  const answers = Array.from({ length: count }, async () => {
    const answer = await startChat(gateway.url, 'hi', { headers }).answer
    if (isRefused(answer)) refused += 1
    return answer
  })
  while (refused + upstream.held.length < count) await delay(5)
  upstream.release()
  const answered = (await Promise.all(answers)).filter(isComplete).length
  return { answered, refused }
}

t.test('exactly ten of a hundred are answered by four workers', { skip: skipByDay }, async (t) => {
  const rig = await setUp(t, TEN_IN_ALL)
  const gateway = await rig.start(4)
  t.same(await rush(rig, gateway, 100), { answered: 10, refused: 90 })
  t.equal(rig.upstream.asked, 10, 'no other came so far')
  t.same(await rush(rig, gateway, 5), { answered: 0, refused: 5 })
})

function minute(): number {
  return Math.floor(Date.now() / 60_000)
}

/** The routes that are answered without the upstream, and where a key's limits hold all the same. */
const HERE = [
  ['POST', '/v1/messages/count_tokens'],
  ['POST', '/v1/lint'],
  ['GET', '/v1/usage']
] as const

const QUESTION = JSON.stringify({
  model: 'claude-haiku-4.5',
  max_tokens: 9,
  messages: [{ role: 'user', content: 'hi' }]
})

t.test('one worker', async (t) => {
  const rig = await setUp(t, { credits: { limit: 1_000_000, period: 'month' } })
  const { upstream, headers, addKey } = rig
  const ben = await addKey({ name: 'ben' })
  const chris = await addKey({ name: 'chris', maxStreams: 1 })
  const dora = await addKey({ name: 'dora', maxStreams: 1 })
  const emil = await addKey({ name: 'emil', models: ['claude-opus-5'] })
  const gateway = await rig.start(1)

  await t.test(
    'what the upstream does not say, or cannot mean, costs what was set aside',
    async (t) => {
      upstream.isHolding = false
      const chat = () => startChat(gateway.url, 'hi', { headers })
      let used = 0
      for (const usage of [null, 'much', -5, 1e9, Number.MAX_VALUE, [1], 0]) {
        upstream.trailer = Buffer.concat([endFrame, metering(usage)])
        t.ok(isComplete(await chat().answer))
        used += usage === 0 ? 0 : 1
      }
      upstream.trailer = endFrame
      t.ok(isComplete(await chat().answer))
      used += 1
      upstream.isHolding = true
      const leaving = chat()
      await leaving.firstBytes
      leaving.request.destroy()
      await leaving.answer
      used += 1
      while ((await usageOf(gateway, headers)).reserved > 0) await delay(10)
      t.match(await usageOf(gateway, headers), { used, reserved: 0 })

      upstream.isHolding = false
      upstream.trailer = Buffer.concat([endFrame, metering(1_000_000)])
      t.ok(isComplete(await chat().answer), 'a million')
      t.match(await chat().answer, { status: 429, text: /insufficient_quota/ })
      t.match(await usageOf(gateway, headers), { used: used + 1_000_000, remaining: 0 })
      upstream.trailer = ONE
    }
  )

  await t.test(
    'large requests that wait for a stream of their key leave the memory to others',
    async (t) => {
      upstream.isHolding = true
      const large = 'lorem ipsum '.repeat(85_000)
      const waiting = Array.from({ length: 40 }, () =>
        startChat(gateway.url, large, { headers: chris })
      )
      while (upstream.held.length < 1) await delay(5)
      await delay(1000)
      const answer = startChat(gateway.url, large, { headers: ben }).answer
      while (upstream.held.length < 2) {
        const refused = await Promise.race([answer, delay(5, null)])
        if (refused !== null) throw new Error(`${refused.status} ${refused.text}`)
      }
      upstream.isHolding = false
      upstream.release()
      t.ok(isComplete(await answer))
      for (const { answer: one } of waiting) t.ok(isComplete(await one))
    }
  )

  await t.test('as many are counted and linted at once as a key may have streams', async (t) => {
    const headers = dora
    upstream.isHolding = true
    const answering = startChat(gateway.url, 'hi', { headers })
    await answering.firstBytes
    const ask = (path: string) => {
      const call = request(`${gateway.url}${path}`, {
        method: 'POST',
        agent: false,
        headers: {
          ...headers,
          'content-type': 'application/json',
          'content-length': QUESTION.length
        }
      })
      const answer = new Promise<number>((resolve) => {
        call.on('response', (response) => resolve(response.resume().statusCode ?? 0))
      })
      call.write(QUESTION.slice(0, 10))
      return { answer, end: () => call.end(QUESTION.slice(10)) }
    }
    const first = ask('/v1/messages/count_tokens')
    await delay(200) // until it has been let in
    const second = ask('/v1/lint')
    second.end()
    const outcome = await Promise.race([second.answer, delay(500, 'waits')])
    t.equal(outcome, 'waits', 'for the first, and not for the answer')
    first.end()
    t.equal(await first.answer, 200)
    t.equal(await second.answer, 200)
    upstream.release()
    t.ok(isComplete(await answering.answer))
  })

  await t.test(
    'a client that goes on after it was refused fills neither the log nor the record',
    async (t) => {
      const headers = emil
      const sent = 400
      const began = minute()
      for (let count = 0; count < sent; count += 20) {
        const calls = Array.from(
          { length: 20 },
          () => startChat(gateway.url, 'hi', { headers }).answer
        )
        for (const { status } of await Promise.all(calls)) t.equal(status, 403)
      }
      for (let count = 0; count < sent; count++) {
        const init = { method: 'POST', headers, body: '{}' }
        t.equal((await fetch(`${gateway.url}/v1/lint?dialect=none`, init)).status, 400)
      }
      while ((await usageOf(gateway, headers)).last_30_days.failed < sent) await delay(100)
      t.equal(await gateway.stop(), 0)
      const linesOf = (code: string) => gateway.lines.filter((line) => line['code'] === code)
      const minutes = minute() - began + 1 // it may run into the next one
      for (const code of ['GW_MODEL_NOT_ALLOWED', 'GW_BODY_INVALID']) {
        const lines = linesOf(code)
        t.ok(lines.length <= minutes * 101, `${lines.length} lines of ${sent} refusals, ${code}`)
        const more = lines.reduce((sum, line) => sum + Number(line['more'] ?? 0), 0)
        const told = lines.filter(({ msg }) => msg === 'request refused').length
        t.equal(told + more, sent)
      }
    }
  )
})

t.test('two workers', async (t) => {
  const rig = await setUp(t, TEN_IN_ALL)
  const { upstream, addKey } = rig
  const ben = await addKey({ name: 'ben' })
  const chris = await addKey({ name: 'chris', maxStreams: 2 })
  const dora = await addKey({ name: 'dora', requestsPerMinute: 3 })
  const emil = await addKey({ name: 'emil', credits: { limit: 200, period: 'total' } })
  const gateway = await rig.start(2, { PROXY_API_KEY: 'operator' })

  await t.test('exactly ten of a hundred are answered', async (t) => {
    t.same(await rush(rig, gateway, 100), { answered: 10, refused: 90 })
    t.equal(upstream.asked, 10, 'no other came so far')
    t.same(await rush(rig, gateway, 5), { answered: 0, refused: 5 })
  })

  await t.test(
    'streams of a key wait for each other in all workers, and those of others do not',
    async (t) => {
      const headers = chris
      upstream.isHolding = true
      upstream.asked = 0
      const answers = Array.from(
        { length: 8 },
        () => startChat(gateway.url, 'hi', { headers }).answer
      )
      while (upstream.held.length < 2) await delay(5)
      const other = startChat(gateway.url, 'hi', { headers: ben }).answer
      while (upstream.held.length < 3) await delay(5)
      await delay(100)
      t.equal(upstream.asked, 3, 'two of one key, one of the other')
      upstream.release()
      t.ok(isComplete(await other))
      for (let asked = 5; asked <= 9; asked += 2) {
        while (upstream.asked < asked) await delay(5)
        await delay(20)
        t.equal(upstream.asked, asked, 'never more than two')
        upstream.release()
      }
      t.equal((await Promise.all(answers)).filter(isComplete).length, 8)
    }
  )

  await t.test(
    'counting, linting and usage have as many requests a minute as answers have',
    async (t) => {
      const headers = dora
      upstream.isHolding = false
      const ask = async (method: 'GET' | 'POST', path: string) => {
        const type = { 'content-type': 'application/json', connection: 'close' }
        const body = method === 'POST' ? { body: QUESTION } : {}
        const init = { method, headers: { ...headers, ...type }, ...body }
        const response = await fetch(`${gateway.url}${path}`, init)
        return { status: response.status, text: await response.text(), headers: response.headers }
      }
      for (let before = -1; before !== minute(); ) {
        before = minute()
        const chats = Array.from(
          { length: 4 },
          () => startChat(gateway.url, 'hi', { headers }).answer
        )
        const answers = await Promise.all(chats)
        const counted = []
        for (const [method, path] of [...HERE, ...HERE]) counted.push(await ask(method, path))
        if (before !== minute()) {
          const used = minute()
          while (minute() === used) await delay(100)
          continue
        }
        t.equal(answers.filter(isComplete).length, 3, 'they take nothing from the answers')
        t.same(
          counted.map(({ status }) => status),
          [200, 200, 200, 429, 429, 429]
        )
        for (const { text, headers: told } of counted.slice(3)) {
          t.match(text, 'may send 3 requests a minute')
          t.ok(Number(told.get('retry-after')) >= 1)
        }
      }
    }
  )

  await t.test(
    'what a key has used is shown soon, though nobody asks and nothing more comes',
    async (t) => {
      const headers = emil
      const page = new DashboardReader(gateway.url, { authorization: 'Bearer operator' })
      t.teardown(() => page.close())
      const credits = () => page.keys?.list.find(({ name }) => name === 'emil')?.credits ?? null
      await page.until(() => credits() !== null)
      upstream.isHolding = true
      const call = startChat(gateway.url, 'hi', { headers })
      await call.firstBytes
      await page.until(() => credits()?.reserved === 1)
      upstream.release()
      t.ok(isComplete(await call.answer))
      await page.until(() => credits()?.reserved === 0)
      t.match(credits(), { limit: 200, used: 1, reserved: 0 })
    }
  )
})

import { type Agent, type ClientRequest, request, type ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { DatabaseSync } from 'node:sqlite'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { NamedKey } from '../../src/keys/key.ts'
import { changeKeys, keysPath, makeKey, makeKeyId } from '../../src/keys/key-store.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { type GatewayProcess, type LogLine, startGateway } from '../helper/gateway-process.ts'
import { PinnedClients } from '../helper/pinned-clients.ts'
import { namedKey } from '../helper/named-key.ts'
import { startSimulator } from '../helper/run-simulator.ts'
import { stateFolder } from '../helper/state-folder.ts'
import { endFrame, eventFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy
t.jobs = 2 // most of them wait, each with gateways of its own

const MODEL = 'claude-sonnet-4.6'
/** What each answer costs: most of a limit of ten. */
const PRICE = 8
const TEN = { credits: { limit: 10, period: 'total' } } as const
const STOPPED = textFrame('one STOP two')
const MORE = textFrame(' and so on')
/** As in src/server/worker/meter-readings.ts. */
const READ_ON_MS = 10_000

function trailer(credits = PRICE): Buffer {
  return Buffer.concat([endFrame, eventFrame('meteringEvent', { unit: 'credit', usage: credits })])
}

/** An upstream whose answers the test writes by hand, in the order of the questions. */
class ManualUpstream {
  readonly counting: CountingUpstream
  readonly asked: ServerResponse[] = []
  /** Answers questions by itself, where it is set. */
  onQuestion: ((response: ServerResponse) => void) | null = null
  #next = 0
  #onAsked: (() => void) | null = null

  private constructor(counting: CountingUpstream) {
    this.counting = counting
    counting.onRequest = (asking, response) => {
      asking.resume()
      if (asking.url?.includes('generateAssistantResponse') !== true) {
        response.writeHead(404).end('{}')
        return
      }
      this.asked.push(response)
      this.onQuestion?.(response)
      this.#onAsked?.()
    }
  }

  static async start(t: Test): Promise<ManualUpstream> {
    return new ManualUpstream(await CountingUpstream.start(t))
  }

  /** Forgets the questions so far, which were answered by themselves. */
  skip(): void {
    this.onQuestion = null
    this.#next = this.asked.length
  }

  /** Returns the next question's answer, to be written. */
  async next(): Promise<ServerResponse> {
    const at = this.#next++
    for (;;) {
      const response = this.asked[at]
      if (response !== undefined) return response
      await new Promise<void>((resolve) => (this.#onAsked = resolve))
    }
  }
}

type Headers = Record<string, string>

interface Rig {
  readonly upstream: ManualUpstream
  readonly gateway: GatewayProcess
  readonly stateDir: string
  /** What the client of each key has to send. */
  readonly keys: readonly Headers[]
}

interface RigOptions {
  readonly env?: Readonly<Record<string, string>>
  /** The limits of each key; by default there is one, of ten credits. */
  readonly limits?: readonly Partial<NamedKey>[]
}

async function setUp(t: Test, { env = {}, limits = [TEN] }: RigOptions = {}): Promise<Rig> {
  const stateDir = stateFolder(t)
  const upstream = await ManualUpstream.start(t)
  const made = limits.map((own, at) => {
    const { text, sha256 } = makeKey()
    const hashes = [{ sha256, until: null }]
    return { text, key: namedKey({ id: makeKeyId(), name: `anna-${at}`, hashes, ...own }) }
  })
  const { signal } = new AbortController()
  await changeKeys(keysPath(stateDir), () => made.map(({ key }) => key), signal)
  const gateway = await startGateway({
    upstreamUrl: upstream.counting.url.origin,
    env: {
      STATE_DIR: stateDir,
      WORKERS: '1',
      WORKER_STALL_TIMEOUT: 'none',
      PROXY_API_KEY: 'operator-key',
      ...env
    }
  })
  t.teardown(() => gateway.destroy())
  return { upstream, gateway, stateDir, keys: made.map(({ text }) => ({ 'x-api-key': text })) }
}

/** The next key of a rig that has not been used. */
function keyOf({ keys }: Pick<Rig, 'keys'>, at = 0): Headers {
  return keys[at] ?? {}
}

interface Asked {
  readonly call: ClientRequest
  /** All that the client got, once that is over, however it ended. */
  readonly answer: Promise<{ readonly status: number; readonly text: string }>
  readonly firstBytes: Promise<void>
}

/** Asks as a client does; `more` stands beside model and messages. */
function ask(
  { gateway }: Pick<Rig, 'gateway'>,
  headers: Headers,
  {
    path = '/v1/messages',
    agent = false,
    ...more
  }: Readonly<Record<string, unknown>> & {
    path?: string
    agent?: Agent | false | undefined
  } = {}
): Asked {
  const first = Promise.withResolvers<void>()
  first.promise.catch(() => {})
  const { promise, resolve } = Promise.withResolvers<{ status: number; text: string }>()
  const call = request(`${gateway.url}${path}`, {
    method: 'POST',
    agent,
    headers: { 'content-type': 'application/json', ...headers }
  })
  call.on('error', () => resolve({ status: 0, text: '' }))
  call.on('response', (response) => {
    let text = ''
    response.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
      first.resolve()
    })
    response.on('error', () => {})
    response.on('close', () => resolve({ status: response.statusCode ?? 0, text }))
  })
  const said =
    path === '/v1/responses'
      ? { input: 'hi' }
      : { messages: [{ role: 'user', content: 'hi' }], max_tokens: 1000 }
  call.end(JSON.stringify({ model: MODEL, stream: true, ...said, ...more }))
  return { call, answer: promise, firstBytes: first.promise }
}

interface Usage {
  readonly used: number
  readonly reserved: number
  readonly last_30_days: { readonly credits: number; readonly requests: number } | null
}

async function usageOf({ gateway }: Pick<Rig, 'gateway'>, headers: Headers): Promise<Usage> {
  return (await (await fetch(`${gateway.url}/v1/usage`, { headers })).json()) as Usage
}

/** The log lines of requests that are over, once there are so many; of those behind the first `from`. */
async function linesOf(
  { gateway }: Pick<Rig, 'gateway'>,
  count: number,
  from = 0
): Promise<LogLine[]> {
  const all = () => gateway.lines.filter(({ event }) => event === 'request.completed')
  await gateway.logged(() => all().length >= from + count)
  return all().slice(from)
}

/** How many requests are over. */
async function overSoFar(rig: Pick<Rig, 'gateway'>): Promise<number> {
  return (await linesOf(rig, 0)).length
}

/** How the rows of the record say that credits came about, once there are so many. */
async function rowsOf({ stateDir }: Pick<Rig, 'stateDir'>, count: number, from = 0) {
  for (;;) {
    const db = new DatabaseSync(join(stateDir, 'usage.db'), { readOnly: true, timeout: 5000 })
    const rows = db.prepare('SELECT status, credits, metering FROM requests ORDER BY at').all()
    db.close()
    if (rows.length >= from + count) return rows.slice(from).map((row) => ({ ...row }))
    await delay(50)
  }
}

/** Has an answer of so many credits teach what answers cost. */
async function teach(rig: Rig, { credits = PRICE, model = MODEL } = {}): Promise<void> {
  const { answer } = ask(rig, { 'x-api-key': 'operator-key' }, { model })
  const response = await rig.upstream.next()
  response.end(Buffer.concat([STOPPED, MORE, trailer(credits)]))
  await answer
}

/** Asks the next question of a key that has used its limit up: it must not come through. */
async function isOver(t: Test, rig: Rig, headers: Headers): Promise<void> {
  const before = rig.upstream.asked.length
  const { status } = await ask(rig, headers).answer
  t.equal(status, 429, 'the next one is refused')
  t.equal(rig.upstream.asked.length, before)
}

const CUTS = [
  ['/v1/messages', { stop_sequences: ['STOP'] }],
  ['/v1/messages', { max_tokens: 2 }],
  ['/v1/chat/completions', { stop: 'STOP' }],
  ['/v1/chat/completions', { max_tokens: 2 }],
  ['/v1/responses', { max_output_tokens: 2 }]
] as const

t.test('what an answer costs that nobody reads to its end', async (t) => {
  const cases = CUTS.flatMap(([path, cut]) =>
    [true, false].flatMap((stream) => [TEN, {}].map((limits) => ({ path, cut, stream, limits })))
  )
  const limits = [
    ...cases.map((one) => one.limits),
    TEN,
    TEN,
    TEN,
    TEN,
    { ...TEN, maxStreams: 1 },
    TEN,
    TEN,
    TEN
  ]
  const rig = await setUp(t, { limits })

  await t.test(
    'an answer that the gateway cuts is metered, and its client has its end before',
    async (t) => {
      const sockets = new Set<unknown>()
      let count = 0
      for (const [at, { path, cut, stream, limits }] of cases.entries()) {
        const what = JSON.stringify({ path, ...cut, stream, ...limits })
        const headers = keyOf(rig, at)
        const asked = ask(rig, headers, { path, stream, ...cut })
        const response = await rig.upstream.next()
        sockets.add(response.socket)
        response.write(STOPPED)
        const { status, text } = await asked.answer
        t.equal(status, 200, `${what}: its client waits for nothing`)
        t.match(text, /stop_sequence|max_tokens|"stop"|length|max_output_tokens/, what)
        response.write(MORE)
        response.end(trailer())
        count += 1
        const line = (await linesOf(rig, count)).at(-1)
        t.match(line, { status: 200, credits: PRICE, metering: 'read on' }, what)
        if (limits === TEN) await isOver(t, rig, headers)
        if (limits === TEN) count += 1
        while ((await usageOf(rig, headers)).last_30_days?.credits !== PRICE) await delay(20)
      }
      // On a busy machine one may not be back yet when the next question comes.
      t.ok(sockets.size <= cases.length / 4, 'a connection that is read to its end is kept')
    }
  )

  await t.test('a client that hangs up while nobody knows the price teaches it', async (t) => {
    const over = await overSoFar(rig)
    const moments = [
      ['the first byte', 'claude-opus-5'],
      ['the middle', 'glm-5'],
      ['the metering', 'kimi-k3']
    ] as const
    for (const [n, [at, model]] of moments.entries()) {
      const headers = keyOf(rig, cases.length + n)
      const asked = ask(rig, headers, { model })
      const response = await rig.upstream.next()
      if (at !== 'the first byte') {
        response.write(at === 'the metering' ? Buffer.concat([STOPPED, endFrame]) : STOPPED)
        await asked.firstBytes
      }
      asked.call.destroy()
      const next = ask(rig, headers, { model })
      await delay(200)
      t.equal(response.destroyed, false, `before ${at}: it is read on`)
      if (at === 'the first byte') response.write(STOPPED)
      response.end(trailer())
      t.equal((await next.answer).status, 429, 'one that came meanwhile waited for the price')
      t.match(await usageOf(rig, headers), { used: PRICE, reserved: 0 }, `before ${at}`)
    }
    const hungUp = (await rowsOf(rig, 6, over)).filter(({ status }) => status === 499)
    const readOn = { status: 499, credits: PRICE * 1e6, metering: 'read on' }
    t.same(hungUp, [readOn, readOn, readOn])
  })

  await t.test('ten credits buy one answer of eight, however its client behaves', async (t) => {
    const over = await overSoFar(rig)
    const models = {
      'hangs up': 'claude-sonnet-5',
      stops: 'claude-sonnet-4.5',
      'is short': 'minimax-m2.5'
    } as const
    for (const [n, behaves] of (['hangs up', 'stops', 'is short'] as const).entries()) {
      const before = rig.upstream.asked.length
      rig.upstream.onQuestion = (response) => {
        response.write(STOPPED)
        setTimeout(() => response.end(trailer()), 100)
      }
      const headers = keyOf(rig, cases.length + 5 + n)
      const more = {
        stops: { stop_sequences: ['STOP'] },
        'is short': { max_tokens: 2 },
        'hangs up': {}
      }
      for (let times = 0; times < 6; times++) {
        const asked = ask(rig, headers, { model: models[behaves], ...more[behaves] })
        await Promise.race([asked.firstBytes.catch(() => {}), asked.answer])
        if (behaves === 'hangs up') asked.call.destroy()
        await asked.answer
      }
      t.equal(rig.upstream.asked.length, before + 1, behaves)
      t.match(await usageOf(rig, headers), { used: PRICE, reserved: 0 })
    }
    rig.upstream.skip()
    await linesOf(rig, 3 * 6, over) // or the next would count them as its own
  })

  await t.test('thinking before a stop sequence is paid for, too', async (t) => {
    const over = await overSoFar(rig)
    const headers = keyOf(rig, cases.length + 3)
    const asked = ask(rig, headers, {
      stop_sequences: ['STOP'],
      thinking: { type: 'enabled', budget_tokens: 1024 },
      max_tokens: 4000
    })
    const response = await rig.upstream.next()
    response.write(eventFrame('reasoningContentEvent', { text: 'Let me think of STOP.' }))
    response.write(eventFrame('reasoningContentEvent', { signature: 'signed' }))
    response.write(STOPPED)
    const { text } = await asked.answer
    t.match(text, /thinking_delta[^]*STOP\.[^]*"stop_reason":"stop_sequence"/)
    response.write(eventFrame('reasoningContentEvent', { text: 'And more.' }))
    response.end(trailer())
    await linesOf(rig, 1, over)
    t.match(await usageOf(rig, headers), { used: PRICE })
    t.match(await rowsOf(rig, 1, over), [{ metering: 'read on' }])
  })

  await t.test('a stream of a key is over when its client has its end', async (t) => {
    const over = await overSoFar(rig)
    const model = 'claude-haiku-4.5'
    for (let n = 0; n < 3; n++) await teach(rig, { credits: 0.1, model })
    const headers = keyOf(rig, cases.length + 4)
    const asked = ask(rig, headers, { model, stop_sequences: ['STOP'] })
    const response = await rig.upstream.next()
    response.write(STOPPED)
    await asked.answer
    const second = ask(rig, headers, { model })
    ;(await rig.upstream.next()).end(Buffer.concat([STOPPED, trailer(0.1)]))
    t.equal((await second.answer).status, 200)
    t.equal(response.destroyed, false, 'and the first is still read on')
    response.end(trailer(0.1))
    await linesOf(rig, 5, over)
    t.match(await usageOf(rig, headers), { used: 0.2, reserved: 0 })
  })
})

t.test('where the price is known', async (t) => {
  const rig = await setUp(t, { limits: [TEN, TEN, TEN, TEN, TEN] })

  await t.test(
    'a client that hangs up when the price is known pays what came so far',
    async (t) => {
      for (let n = 0; n < 3; n++) await teach(rig)
      const headers = keyOf(rig)
      const asked = ask(rig, headers)
      const response = await rig.upstream.next()
      response.write(Buffer.concat([STOPPED, MORE]))
      await asked.firstBytes
      const closed = new Promise((resolve) => response.once('close', resolve))
      asked.call.destroy()
      await closed
      const line = (await linesOf(rig, 4)).at(-1)
      t.match(line, { status: 499, metering: 'measured' })
      const { used } = await usageOf(rig, headers)
      t.equal(Math.round(used * 100) / 100, PRICE, 'as much was said as in the answers before')
      await isOver(t, rig, headers)

      const silent = keyOf(rig, 1)
      const early = ask(rig, silent)
      const unanswered = await rig.upstream.next()
      const gone = new Promise((resolve) => unanswered.once('close', resolve))
      early.call.destroy()
      await gone
      await linesOf(rig, 6)
      const left = (await usageOf(rig, silent)).used
      t.ok(left > 0 && left < PRICE, `the request alone costs less: ${left}`)
    }
  )

  for (const what of ['never ends', 'has no end of bytes'] as const) {
    await t.test(`an answer that ${what} is not read for ever`, async (t) => {
      const over = await overSoFar(rig)
      const headers = keyOf(rig, what === 'never ends' ? 2 : 3)
      const asked = ask(rig, headers, { stop_sequences: ['STOP'] })
      const response = await rig.upstream.next()
      const closed = new Promise((resolve) => response.once('close', resolve))
      response.write(STOPPED)
      await asked.answer
      const before = response.socket?.bytesWritten ?? 0
      const { socket } = response
      const more = Buffer.concat(Array.from({ length: 500 }, () => textFrame('x'.repeat(1000))))
      const write = (): void => {
        if (response.destroyed) return
        if (what === 'never ends') setTimeout(() => response.write(textFrame('x'), write), 100)
        else response.write(more, () => void setImmediate(write)) // or its end would not be heard
      }
      const startedAt = performance.now()
      write()
      await closed
      const seconds = (performance.now() - startedAt) / 1000
      t.ok(seconds < (what === 'never ends' ? 30 : 8), `${seconds} s`)
      const read = ((socket?.bytesWritten ?? 0) - before) / 2 ** 20
      t.ok(read < 20, `${read} MiB, of which the kernel holds some`)
      const line = (await linesOf(rig, 1, over)).at(-1)
      t.match(line, { status: 200, metering: 'measured' })
      t.ok((await usageOf(rig, headers)).used >= PRICE - 1.5)
    })
  }

  await t.test('SIGTERM does not wait for what is read on', async (t) => {
    const over = await overSoFar(rig)
    const headers = keyOf(rig, 4)
    const asked = ask(rig, headers, { model: 'glm-5', stop_sequences: ['STOP'] })
    const response = await rig.upstream.next()
    response.write(STOPPED)
    await asked.answer
    const startedAt = performance.now()
    t.equal(await rig.gateway.stop(), 0)
    const seconds = (performance.now() - startedAt) / 1000
    t.ok(seconds < READ_ON_MS / 1000, `${seconds} s`)
    t.match(await rowsOf(rig, 1, over), [{ status: 200, credits: 1e6, metering: 'measured' }])
  })
})

t.test('with one connection, reading on', async (t) => {
  const env = { HTTP_MAX_CONNECTIONS: '1' }
  const rig = await setUp(t, { env, limits: [TEN, TEN] })

  await t.test('while the price is unknown it gives way to nobody', async (t) => {
    const headers = keyOf(rig, 1)
    const asked = ask(rig, headers, { model: 'glm-5', stop_sequences: ['STOP'] })
    const response = await rig.upstream.next()
    response.write(STOPPED)
    await asked.answer
    const other = ask(rig, { 'x-api-key': 'operator-key' }, { model: 'glm-5' })
    await delay(300)
    t.equal(response.destroyed, false)
    response.end(trailer())
    ;(await rig.upstream.next()).end(Buffer.concat([STOPPED, trailer()]))
    t.equal((await other.answer).status, 200)
    t.match(await usageOf(rig, headers), { used: PRICE })
    await linesOf(rig, 2)
  })

  await t.test('reading on gives way to requests that wait for a connection', async (t) => {
    const over = await overSoFar(rig)
    for (let n = 0; n < 3; n++) await teach(rig)
    const headers = keyOf(rig)
    const asked = ask(rig, headers, { stop_sequences: ['STOP'] })
    const response = await rig.upstream.next()
    const closed = new Promise((resolve) => response.once('close', resolve))
    response.write(STOPPED)
    await asked.answer
    await delay(200)
    t.equal(response.destroyed, false, 'it is read on')
    const other = ask(rig, { 'x-api-key': 'operator-key' })
    ;(await rig.upstream.next()).end(Buffer.concat([STOPPED, trailer()]))
    t.equal((await other.answer).status, 200, 'without waiting for the end of the other')
    await closed
    t.ok(rig.upstream.counting.max <= 1)
    const { used } = await usageOf(rig, headers)
    t.ok(used > PRICE / 2 && used < PRICE, `up to STOP it is less than all: ${used}`)
    t.match(
      (await linesOf(rig, 5, over)).find(({ metering }) => metering === 'measured'),
      { status: 200 }
    )
  })
})

t.test('also where two workers share the connections', async (t) => {
  const env = { WORKERS: '2', WORKER_SPREAD: 'even', HTTP_MAX_CONNECTIONS: '2' }
  const limits = [{ credits: { limit: 1_000, period: 'total' } }] as const
  const rig = await setUp(t, { env, limits })
  for (let n = 0; n < 3; n++) await teach(rig)
  const operator = { 'x-api-key': 'operator-key' }
  const pids = rig.gateway.workerPids()
  const pinned: PinnedClients[] = []
  for (const pid of pids) {
    const others = pids.filter((one) => one !== pid)
    pinned.push(await PinnedClients.connect(t, rig.gateway.url, { count: 2, others }))
  }
  for (let n = 0; n < 6; n++) {
    const before = rig.upstream.asked.length
    const begunAt = performance.now()
    const [here, elsewhere] = n % 2 === 0 ? pinned : pinned.toReversed()
    const cut = [1, 2].map(() =>
      ask(rig, keyOf(rig), { agent: here?.agent, stop_sequences: ['STOP'] })
    )
    const readOn = [await rig.upstream.next(), await rig.upstream.next()]
    for (const response of readOn) response.write(STOPPED)
    for (const { answer } of cut) await answer
    t.notOk(readOn.some(({ destroyed }) => destroyed))
    const others = [1, 2].map(() => ask(rig, operator, { agent: elsewhere?.agent }))
    for (let i = 0; i < 2; i++) (await rig.upstream.next()).end(Buffer.concat([STOPPED, trailer()]))
    for (const { answer } of others) t.equal((await answer).status, 200)
    const ms = performance.now() - begunAt
    t.ok(ms < READ_ON_MS, `they did not wait until reading on ends by itself: ${Math.round(ms)} ms`)
    t.equal(rig.upstream.asked.length, before + 4)
  }
  t.ok(rig.upstream.counting.max <= 2)
})

t.test('an answer of the simulator costs the same, cut or whole', async (t) => {
  const { url: upstreamUrl } = await startSimulator(t)
  const gateway = await startGateway({
    upstreamUrl,
    env: { STATE_DIR: stateFolder(t), WORKERS: '1', PROXY_API_KEY: 'operator-key' }
  })
  t.teardown(() => gateway.destroy())
  const prompt = 'sim:say="one STOP two" sim:trailer=200 sim:gap=1'
  let count = 0
  const creditsOf = async (more: Readonly<Record<string, unknown>> & { path: string }) => {
    const said =
      more.path === '/v1/responses'
        ? { input: prompt }
        : { messages: [{ role: 'user', content: prompt }] }
    const { answer } = ask({ gateway }, { 'x-api-key': 'operator-key' }, { ...more, ...said })
    t.equal((await answer).status, 200)
    const line = (await linesOf({ gateway }, ++count)).at(-1)
    return [line?.['credits'], line?.['metering']]
  }
  for (const [path, cut] of CUTS) {
    for (const stream of [true, false]) {
      const what = JSON.stringify({ path, stream, ...cut })
      const [credits] = await creditsOf({ path, stream })
      t.ok(Number(credits) > 0)
      t.same(await creditsOf({ path, stream, ...cut }), [credits, 'read on'], what)
    }
  }
})

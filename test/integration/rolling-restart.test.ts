import { readFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { type ChatAnswer, isComplete, startChat } from '../helper/chat-client.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'
import { skipByDay } from '../helper/nightly.ts'

t.setTimeout(900_000) // real processes, on a machine that may be busy

async function setUp(t: Test, env: Record<string, string> = {}) {
  const simulator = new Simulator()
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const gateway = await startGateway({ upstreamUrl: url, env: { WORKERS: '2', ...env } })
  t.teardown(() => gateway.destroy())
  return { gateway, simulator }
}

/** Streams of some seconds; resolves when all have begun. */
async function startStreams(url: string, count: number): Promise<readonly Promise<ChatAnswer>[]> {
  const calls = Array.from({ length: count }, () => startChat(url, 'sim:events=50 sim:gap=50'))
  await Promise.all(calls.map(({ firstBytes }) => firstBytes))
  return calls.map(({ answer }) => answer)
}

/** Without it clients take the cores that new workers need to start. */
const PAUSE_MS = 20

/** Clients that ask and ask again until they are told to stop, each over a new connection. */
function keepAsking(url: string, clients: number) {
  const answers: ChatAnswer[] = []
  let isOver = false
  const ask = async (): Promise<void> => {
    for (; !isOver; await delay(PAUSE_MS))
      answers.push(await startChat(url, 'sim:events=3 sim:gap=5').answer)
  }
  const all = Promise.all(Array.from({ length: clients }, ask))
  return async (): Promise<readonly ChatAnswer[]> => {
    isOver = true
    await all
    return answers
  }
}

/** A client with one connection that it keeps open as long as the gateway does; gives the status of each answer. */
function keepAskingOnOneConnection(url: string) {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const statuses: (number | undefined)[] = []
  let isOver = false
  const ask = (): Promise<number | undefined> => {
    const { promise, resolve } = Promise.withResolvers<number | undefined>()
    request(`${url}/v1/models`, { agent }, (response) => {
      response.resume().on('end', () => resolve(response.statusCode))
    })
      .on('error', () => resolve(0))
      .end()
    return promise
  }
  const all = (async () => {
    for (; !isOver; await delay(10)) statuses.push(await ask())
  })()
  return async (): Promise<readonly (number | undefined)[]> => {
    isOver = true
    await all
    agent.destroy()
    return statuses
  }
}

const says = (gateway: GatewayProcess, message: string) =>
  gateway.logged((line) => line['msg'] === message)

function childrenOf(pid: number | undefined): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return children.split(' ').map(Number)
}

t.test('SIGUSR2', async (t) => {
  t.test('replaces all workers under load: nobody is refused, no stream is cut', async (t) => {
    const max = 90
    const { gateway, simulator } = await setUp(t, { HTTP_MAX_CONNECTIONS: String(max) })
    const before = gateway.workerPids()
    const streams = await startStreams(gateway.url, 60)
    const stopAsking = keepAsking(gateway.url, 6)
    const stopKeptAlive = keepAskingOnOneConnection(gateway.url)
    gateway.child.kill('SIGUSR2')
    await says(gateway, 'rolling restart complete')
    const after = gateway.workerPids()
    t.equal(after.length, 2)
    t.same(
      after.filter((pid) => before.includes(pid)),
      [],
      'all of them are new'
    )
    t.same(new Set(childrenOf(gateway.child.pid)), new Set(after), 'and the old ones gone')
    const asked = await stopAsking()
    t.ok(asked.length > 20, `${asked.length} requests meanwhile`)
    t.same(
      asked.filter((answer) => !isComplete(answer)),
      [],
      'all are served'
    )
    const keptAlive = await stopKeptAlive()
    t.same([...new Set(keptAlive)], [200], 'also those on connections that were open')
    t.equal((await Promise.all(streams)).filter(isComplete).length, 60)
    const { connections } = simulator.stats()
    t.ok(connections.max <= max, `${connections.max} connections`)
    t.notOk(gateway.lines.some((line) => line['msg'] === 'worker died'))
    const more = await startStreams(gateway.url, 80)
    t.equal((await Promise.all(more)).filter(isComplete).length, 80, 'with all of the budget')
    t.ok(simulator.stats().connections.max <= max)
  })

  t.test(
    'holds a budget that is used up, and serves all who wait',
    { skip: skipByDay },
    async (t) => {
      const { gateway, simulator } = await setUp(t, { HTTP_MAX_CONNECTIONS: '8' })
      const calls = Array.from(
        { length: 50 },
        () => startChat(gateway.url, 'sim:events=10 sim:gap=40').answer
      )
      while (simulator.stats().inFlight < 8) await delay(5)
      gateway.child.kill('SIGUSR2')
      t.equal((await Promise.all(calls)).filter(isComplete).length, 50)
      await says(gateway, 'rolling restart complete')
      t.ok(simulator.stats().connections.max <= 8, `${simulator.stats().connections.max}`)
    }
  )

  t.test('works with one worker, too', { skip: skipByDay }, async (t) => {
    const { gateway } = await setUp(t, { WORKERS: '1' })
    const [before] = gateway.workerPids()
    const streams = await startStreams(gateway.url, 20)
    const stopAsking = keepAsking(gateway.url, 3)
    gateway.child.kill('SIGUSR2')
    await says(gateway, 'rolling restart complete')
    const asked = await stopAsking()
    t.ok(asked.every(isComplete), `${asked.length} requests`)
    t.ok((await Promise.all(streams)).every(isComplete))
    t.not(gateway.workerPids()[0], before)
  })

  t.test(
    'new workers count tokens by what the old ones have learnt',
    { skip: skipByDay },
    async (t) => {
      const { gateway } = await setUp(t)
      const headers = { 'content-type': 'application/json', connection: 'close' }
      const messages = [{ role: 'user', content: `${'word and word '.repeat(500)} sim:gap=0` }]
      const body = JSON.stringify({ model: 'claude-haiku-4.5', max_tokens: 999, messages })
      const post = async (path: string): Promise<string> =>
        (await fetch(`${gateway.url}${path}`, { method: 'POST', headers, body })).text()
      const count = (): Promise<string> => post('/v1/messages/count_tokens')
      const bare = await count()
      await post('/v1/messages')
      const counts = new Set<string>()
      for (let tries = 0; tries < 100 && (counts.size !== 1 || counts.has(bare)); tries++) {
        counts.clear() // the news is under way
        for (let i = 0; i < 20; i++) counts.add(await count())
      }
      gateway.child.kill('SIGUSR2')
      await says(gateway, 'rolling restart complete')
      for (let i = 0; i < 20; i++) counts.add(await count())
      t.equal(counts.size, 1, [...counts].join())
      t.notOk(counts.has(bare))
    }
  )

  t.test('SIGTERM while an old worker still streams cuts it after DRAIN_TIMEOUT', async (t) => {
    const { gateway } = await setUp(t, { WORKERS: '1', DRAIN_TIMEOUT: '0.3' })
    const call = startChat(gateway.url, 'sim:events=2000 sim:gap=50')
    await call.firstBytes
    const pids = gateway.workerPids()
    gateway.child.kill('SIGUSR2')
    await gateway.logged(
      (line) => line['state'] === 'ready' && !pids.includes(Number(line['workerPid']))
    )
    const code = gateway.stop()
    const { text } = await call.answer
    t.match(text, /"error":/)
    t.notMatch(text, '[DONE]')
    t.equal(await code, 0)
  })
})

t.test('while workers are replaced', async (t) => {
  t.test(
    'a second SIGUSR2 changes nothing, and SIGHUP resizes all of them',
    { skip: skipByDay },
    async (t) => {
      const { gateway, simulator } = await setUp(t, { DRAIN_TIMEOUT: '60' })
      const streams = await startStreams(gateway.url, 30)
      gateway.child.kill('SIGUSR2')
      await says(gateway, 'rolling restart started')
      gateway.child.kill('SIGUSR2')
      await says(gateway, 'a rolling restart is already running')
      await gateway.logged((line) => line['state'] === 'replacing')
      await gateway.reload({ HTTP_MAX_CONNECTIONS: '5', HTTP_MAX_KEEPALIVE_CONNECTIONS: '2' })
      t.equal((await Promise.all(streams)).filter(isComplete).length, 30)
      await says(gateway, 'rolling restart complete')
      t.equal(gateway.lines.filter((line) => line['msg'] === 'worker replaced').length, 2)
      while (simulator.stats().connections.open > 5) await delay(10)
      simulator.resetStats()
      const calls = Array.from({ length: 20 }, () => startChat(gateway.url, 'sim:events=3').answer)
      t.equal((await Promise.all(calls)).filter(isComplete).length, 20)
      t.ok(simulator.stats().connections.max <= 5)
    }
  )

  t.test('a second SIGTERM ends all of them at once', async (t) => {
    const { gateway } = await setUp(t, { WORKERS: '1', DRAIN_TIMEOUT: '60' })
    const call = startChat(gateway.url, 'sim:events=1000 sim:gap=50')
    await call.firstBytes
    const pids = gateway.workerPids()
    gateway.child.kill('SIGUSR2')
    await gateway.logged(
      (line) => line['state'] === 'ready' && !pids.includes(Number(line['workerPid']))
    )
    t.equal(await gateway.endNow(), 1)
    t.equal((await call.answer).isCut, true)
  })
})

import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { Simulator } from '../strict-simulator/simulator.ts'
import { type ChatCall, isComplete, startChat } from '../helper/chat-client.ts'
import { type GatewayProcess, startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

interface Cluster {
  readonly gateway: GatewayProcess
  readonly simulator: Simulator
}

async function startCluster(t: Test, env: Record<string, string> = {}): Promise<Cluster> {
  const simulator = new Simulator()
  const { url } = await simulator.start()
  t.teardown(() => simulator.close())
  const gateway = await startGateway({ upstreamUrl: url, env: { WORKERS: '2', ...env } })
  t.teardown(() => gateway.destroy())
  return { gateway, simulator }
}

/** Runs `count` streams at once and resolves with how many came to their regular end. */
async function runStreams(url: string, count: number, prompt: string): Promise<number> {
  const calls = Array.from({ length: count }, () => startChat(url, prompt))
  const answers = await Promise.all(calls.map(({ answer }) => answer))
  return answers.filter(isComplete).length
}

/** Polls until `check` holds, for as long as the test may take: what it waits for happens in another process, which can't tell. */
async function eventually(check: () => boolean): Promise<void> {
  while (!check()) await delay(25)
}

/** Streams that one worker serves: the other is stopped while they connect. */
async function startChatsOn(url: string, other: number, events: number): Promise<ChatCall[]> {
  process.kill(other, 'SIGSTOP')
  const prompt = `sim:events=${events} sim:gap=50`
  const calls = Array.from({ length: 12 }, () => startChat(url, prompt))
  await Promise.all(calls.map(({ firstBytes }) => firstBytes))
  process.kill(other, 'SIGCONT')
  return calls
}

/** Whether a process runs; one that has ended may still have an entry until its new parent takes notice. */
function isRunning(pid: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/.test(readFileSync(`/proc/${pid}/stat`, 'utf8'))
  } catch {
    return false
  }
}

// Most of them wait for streams, each with a gateway of its own.
t.test('a cluster of two workers', { jobs: 2 }, async (t) => {
  t.test('serves 37 and then 300 streams at once, and reuses connections', async (t) => {
    const { gateway, simulator } = await startCluster(t)
    t.equal(await runStreams(gateway.url, 37, 'sim:events=20 sim:gap=20'), 37)
    t.equal(await runStreams(gateway.url, 300, 'sim:events=20 sim:gap=50'), 300)
    t.ok(simulator.stats().connections.max <= 300)
    await eventually(() => simulator.stats().connections.open <= 150)
    t.ok(simulator.stats().connections.open <= 150, 'no more idle ones than allowed')
    // On a busy machine one worker may have had nearly all streams, and the other is who takes the next clients.
    t.equal(await runStreams(gateway.url, 37, 'sim:events=10 sim:gap=5'), 37)
    simulator.resetStats()
    for (let round = 0; round < 5; round++) {
      t.equal(await runStreams(gateway.url, 37, 'sim:events=10 sim:gap=5'), 37)
    }
    const { requests, requestsOnReusedConnections } = simulator.stats()
    const part = requestsOnReusedConnections / requests.total
    t.ok(part > 0.95, `${requestsOnReusedConnections} of ${requests.total}`)
  })

  t.test('loses only its own streams when a worker is killed, and has it replaced', async (t) => {
    const { gateway, simulator } = await startCluster(t, { HTTP_MAX_CONNECTIONS: '40' })
    const [victim, other] = gateway.workerPids()
    if (victim === undefined || other === undefined) throw new Error('there are not two workers')
    const lostCalls = await startChatsOn(gateway.url, other, 4000)
    const keptCalls = await startChatsOn(gateway.url, victim, 100)
    const linesBefore = gateway.lines.length
    process.kill(victim, 'SIGKILL')
    const died = await gateway.logged(({ msg }) => msg === 'worker died', linesBefore)
    t.match(died, { state: 'backoff', delayMs: 50 }, 'a new one is started at once')
    await gateway.logged(({ state }) => state === 'ready', gateway.lines.indexOf(died))
    const lost = await Promise.all(lostCalls.map(({ answer }) => answer))
    t.ok(
      lost.every(({ isCut }) => isCut),
      'its own streams are cut and look like it'
    )
    const after = Array.from({ length: 20 }, () => startChat(gateway.url, 'sim:events=3').answer)
    t.ok((await Promise.all(after)).every(isComplete), 'new requests are served')
    const kept = await Promise.all(keptCalls.map(({ answer }) => answer))
    t.ok(kept.every(isComplete), 'the streams of the other worker are untouched')
    t.ok(simulator.stats().connections.max <= 40)
  })

  t.test('ends every running stream on SIGTERM, refuses new requests, exits with 0', async (t) => {
    const { gateway } = await startCluster(t)
    const [one = 0, other = 0] = gateway.workerPids()
    const calls = await startChatsOn(gateway.url, one, 60)
    // Beside streams: a worker that has none ends at once, and its connections with it.
    process.kill(one, 'SIGSTOP')
    const kept = connect(Number(new URL(gateway.url).port), '127.0.0.1')
    await once(kept, 'connect')
    const health = async (): Promise<string> => {
      kept.write('GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n')
      const [chunk] = (await once(kept, 'data')) as [Buffer]
      return chunk.toString()
    }
    t.match(await health(), /^HTTP\/1\.1 200 /)
    process.kill(one, 'SIGCONT')
    calls.push(...(await startChatsOn(gateway.url, other, 60)))
    const stopped = gateway.stop()
    while (!(await health()).startsWith('HTTP/1.1 503 ')) await delay(5) // its worker has not heard of it yet
    let refusal = ''
    kept.on('data', (chunk: Buffer) => {
      refusal += chunk.toString()
    })
    kept.write(
      'POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}'
    )
    await once(kept, 'close')
    t.match(refusal, /^HTTP\/1\.1 503 /)
    t.match(refusal.toLowerCase(), /\r\nconnection: close\r\n/)
    const answers = await Promise.all(calls.map(({ answer }) => answer))
    t.equal(answers.filter(isComplete).length, 24)
    t.equal(await stopped, 0)
  })

  t.test('takes signals that come together for one', async (t) => {
    const { gateway } = await startCluster(t)
    const call = startChat(gateway.url, 'sim:events=20 sim:gap=30')
    await call.firstBytes
    gateway.child.kill('SIGINT')
    gateway.child.kill('SIGTERM')
    t.ok(isComplete(await call.answer))
    t.equal(await gateway.exited, 0)
  })

  t.test('drains its workers when the primary is killed', async (t) => {
    const { gateway } = await startCluster(t)
    const call = startChat(gateway.url, 'sim:events=20 sim:gap=30')
    await call.firstBytes
    const pids = gateway.workerPids()
    gateway.child.kill('SIGKILL')
    t.ok(isComplete(await call.answer), 'the running stream ends regularly')
    await gateway.exited // its pipes close with the last worker, which is about to be gone then
    for (const pid of pids) while (isRunning(pid)) await delay(5)
    t.pass('no worker is left')
  })
})

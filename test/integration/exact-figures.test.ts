import t from 'tap'
import { setTimeout as delay } from 'node:timers/promises'
import { type ChatCall, startChat } from '../helper/chat-client.ts'
import { GatewayProcess } from '../helper/gateway-process.ts'
import { startSimulator } from '../helper/run-simulator.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

type Samples = ReadonlyMap<string, number>

/** All samples of counters and histograms, by name and labels. */
async function countersOf(gateway: GatewayProcess): Promise<Samples> {
  const text = await (await fetch(`${gateway.url}/metrics`)).text()
  const samples = new Map<string, number>()
  let isCounter = false
  for (const line of text.split('\n')) {
    if (line.startsWith('# TYPE ')) isCounter = !line.endsWith(' gauge')
    else if (isCounter && line !== '' && !line.startsWith('#'))
      samples.set(line.slice(0, line.lastIndexOf(' ')), Number(line.split(' ').at(-1)))
  }
  return samples
}

function sumOf(samples: Samples, start: string): number {
  return [...samples].reduce((sum, [name, n]) => sum + (name.startsWith(start) ? n : 0), 0)
}

/** Series that are less than they were. */
function fallen(before: Samples, now: Samples): readonly string[] {
  return [...before].flatMap(([name, value]) =>
    // Sums of seconds are merged in another order when a worker has left.
    (now.get(name) ?? 0) < value * (1 - 1e-9) ? [`${name} ${value} → ${now.get(name)}`] : []
  )
}

t.test(
  'after 100 streams through five reloads and the death of a worker, metrics are what clients have counted',
  async (t) => {
    const { url } = await startSimulator(t)
    const settings = { HTTP_MAX_CONNECTIONS: '100' }
    const gateway = new GatewayProcess({
      upstreamUrl: url,
      env: { WORKERS: '2', WORKER_SPREAD: 'even', STATE_DIR: 'state' },
      envFile: settings
    })
    t.teardown(() => gateway.destroy())
    await gateway.ready()
    const [pid, other] = gateway.workerPids()
    if (pid === undefined || other === undefined) throw new Error('there are no two workers')
    /** So many streams that the worker takes while the other one is stopped. */
    const streamsOf = async (idle: number, count: number): Promise<readonly ChatCall[]> => {
      process.kill(idle, 'SIGSTOP')
      const streams = Array.from({ length: count }, () =>
        startChat(gateway.url, 'sim:events=400 sim:gap=500')
      )
      await Promise.all(streams.map((one) => one.firstBytes))
      process.kill(idle, 'SIGCONT')
      return streams
    }

    const steps: Samples[] = [await countersOf(gateway)]
    const calls: ChatCall[] = []
    for (let reload = 1; reload <= 5; reload++) {
      for (let n = 0; n < 12; n++) calls.push(startChat(gateway.url, 'sim:events=20 sim:gap=10'))
      await gateway.reload({ ...settings, HTTP_MAX_KEEPALIVE_CONNECTIONS: String(10 * reload) })
      steps.push(await countersOf(gateway))
    }
    await Promise.all(calls.map(({ answer }) => answer))
    const long = [...(await streamsOf(other, 20)), ...(await streamsOf(pid, 20))]
    steps.push(await countersOf(gateway))
    process.kill(pid, 'SIGKILL')
    await gateway.logged((line) => line['msg'] === 'requests lost with their worker')
    steps.push(await countersOf(gateway))

    const cut = new Set<ChatCall>()
    for (const call of long) void call.answer.then(({ isCut }) => isCut && cut.add(call))
    const lost = sumOf(steps.at(-1) ?? new Map(), 'kiro_gateway_requests_lost_total')
    while (cut.size < lost) await delay(20)
    const broken = cut.size
    t.ok(
      broken > 0 && broken < 40,
      `${broken} of 40 streams broke, those of the other worker did not`
    )
    for (const call of long) if (!cut.has(call)) call.request.destroy()
    const answers = await Promise.all(calls.map(({ answer }) => answer))
    const whole = answers.filter(({ text, isCut }) => !isCut && text.includes('data: [DONE]'))
    t.equal(whole.length, 60)

    const ended = (samples: Samples) => sumOf(samples, 'kiro_gateway_requests_total{')
    let last = await countersOf(gateway)
    while (ended(last) < 100 - broken) last = await countersOf(gateway)
    await gateway.reload(settings)
    last = await countersOf(gateway)
    steps.push(last)
    const route = 'route="/v1/chat/completions"'
    t.equal(last.get(`kiro_gateway_requests_total{${route},status="200",code="none"}`), 60)
    t.equal(
      last.get(`kiro_gateway_requests_total{${route},status="499",code="GW_CLIENT_CLOSED"}`),
      40 - broken,
      'clients that left'
    )
    t.equal(last.get('kiro_gateway_requests_lost_total'), broken, 'those that died')
    t.equal(ended(last) + broken, 100)
    t.equal(sumOf(last, 'gen_ai_server_request_duration_seconds_count'), 100 - broken)
    t.equal(last.get('kiro_gateway_worker_restarts_total'), 1)
    for (const [at, step] of steps.slice(1).entries())
      t.same(fallen(steps[at] ?? new Map(), step), [], 'no count goes back')
  }
)

t.test('without the record of usage requests are counted all the same', async (t) => {
  const { url } = await startSimulator(t)
  const gateway = new GatewayProcess({
    upstreamUrl: url,
    env: { WORKERS: '2', USAGE_LOG: 'false', STATE_DIR: 'state' }
  })
  t.teardown(() => gateway.destroy())
  await gateway.ready()
  const calls = Array.from({ length: 10 }, () => startChat(gateway.url, 'hi').answer)
  await Promise.all(calls)
  let samples = await countersOf(gateway)
  while (sumOf(samples, 'kiro_gateway_requests_total{') < 10) samples = await countersOf(gateway)
  t.equal(sumOf(samples, 'kiro_gateway_requests_total{'), 10)
  t.equal(samples.get('kiro_gateway_requests_lost_total'), 0)
})

import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import t, { type Test } from 'tap'
import { alivePeers } from '../chaos/kernel-view.ts'
import { type GatewayOptions, startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000)

const KEY = 'a-key-of-some-length'
/** Leaves 28 connections of clients to each worker. */
const FEW_FILES = ['bash', '-c', 'ulimit -n 128; exec "$0" "$@"'] as const
const settings = { PROXY_API_KEY: KEY, WORKERS: '2', HTTP_MAX_CONNECTIONS: '20' }

async function setUp(t: Test, options: GatewayOptions = {}) {
  const gateway = await startGateway({
    launcher: FEW_FILES,
    env: settings,
    ...options
  })
  t.teardown(() => gateway.destroy())
  const over = new AbortController()
  t.teardown(() => over.abort())
  const held: Response[] = [] // one that nobody holds would be collected, and its connection closed
  /** Streams for a minute, or waits for another that does. */
  const stream = async (): Promise<number> => {
    const response = await fetch(`${gateway.url}/v1/chat/completions`, {
      method: 'POST',
      headers: { authorization: `Bearer ${KEY}` },
      body: JSON.stringify({
        model: 'claude-haiku-4.5',
        stream: true,
        messages: [{ role: 'user', content: 'sim:events=60 sim:gap=1000 sim:first=0' }]
      }),
      signal: over.signal
    })
    held.push(response)
    return response.status
  }
  const health = async (): Promise<number> => {
    const headers = { connection: 'close' }
    const response = await fetch(`${gateway.url}/health`, { headers })
    await response.text()
    return response.status
  }
  return { gateway, stream, health, port: Number(new URL(gateway.url).port) }
}

t.test('few open files: what one worker has no room for, the other takes', async (t) => {
  const { gateway, stream, health, port } = await setUp(t)
  let refusals = 0
  // As SDKs do. One may come to a full worker that has not been told yet to leave it to the other.
  const insist = async (): Promise<void> => {
    while ((await stream()) === 503) {
      refusals += 1
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  }
  // One after the other, as whoever is there first takes a connection; of 56 places 50 are used.
  for (let open = 1; open <= 50; open++) {
    insist().catch(() => {}) // ends with the test
    while (alivePeers(port).size < open) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  await t.resolveMatch(health(), 200)
  t.ok(refusals < 10, `${refusals} were refused, of 22 who came when a worker was full`)
  t.ok(alivePeers(port).size >= 50)
  t.same(
    gateway.lines.filter(({ msg }) => msg === 'worker died'),
    []
  )
})

t.test('few open files: beyond them clients are told, and health checks answered', async (t) => {
  const { gateway, stream, health } = await setUp(t)
  const statuses: number[] = []
  for (let i = 0; i < 80; i++) {
    stream().then(
      (status) => statuses.push(status),
      () => statuses.push(0)
    )
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  while (count(statuses, 503) < 80 - 56) await new Promise((resolve) => setTimeout(resolve, 50))
  t.equal(count(statuses, 0), 0, 'nobody lost a connection without a word')
  for (let i = 0; i < 20; i++) await t.resolveMatch(health(), 200)
  t.same(
    gateway.lines.filter(({ msg }) => msg === 'worker died'),
    []
  )
})

function count(statuses: readonly number[], wanted: number): number {
  return statuses.filter((status) => status === wanted).length
}

t.test('few open files while a worker runs: clients are told, and it recovers', async (t) => {
  const env = { ...settings, WORKERS: '1' }
  const { gateway, stream, health, port } = await setUp(t, { launcher: [], env })
  const [pid = 0] = gateway.workerPids()
  const models = async (): Promise<number> => {
    const headers = { authorization: `Bearer ${KEY}`, connection: 'close' }
    const response = await fetch(`${gateway.url}/v1/models`, { headers })
    await response.text()
    return response.status
  }
  const inFlight = async (): Promise<number> => {
    const headers = { authorization: `Bearer ${KEY}`, connection: 'close' }
    const text = await (await fetch(`${gateway.url}/metrics`, { headers })).text()
    return Number(/^kiro_gateway_requests_in_flight(?:\{.*\})? (\d+)$/m.exec(text)?.[1])
  }
  for (let i = 0; i < 40; i++) stream().catch(() => {}) // ends with the test
  await until(async () => (await inFlight()) >= 40) // those that have not asked yet would have to go first
  const before = limitFiles(pid, '128') // leaves room for 28
  await until(async () => (await models()) === 503)
  for (let i = 0; i < 5; i++) await t.resolveMatch(health(), 200)
  limitFiles(pid, before)
  await until(async () => (await models()) === 200)
  t.ok(alivePeers(port).size >= 40, 'whoever was there stayed')
  t.same(gateway.workerPids(), [pid])
})

/** Gives what it was. */
function limitFiles(pid: number, files: string): string {
  const limits = readFileSync(`/proc/${pid}/limits`, 'utf8')
  execFileSync('prlimit', ['--pid', String(pid), `--nofile=${files}:`])
  return /^Max open files\s+(\S+)/m.exec(limits)?.[1] ?? ''
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  while (!(await isSo())) await new Promise((resolve) => setTimeout(resolve, 200))
}

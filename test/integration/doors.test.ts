import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { startGateway } from '../helper/gateway-process.ts'

t.setTimeout(600_000)

const KEY = 'a-key-of-some-length'
/** Of both workers together. */
const PLACES = 16

async function setUp(t: Test) {
  const gateway = await startGateway({
    env: {
      PROXY_API_KEY: KEY,
      WORKERS: '2',
      WORKER_SPREAD: 'even',
      MAX_CLIENT_CONNECTIONS: String(PLACES)
    }
  })
  t.teardown(() => gateway.destroy())
  const port = Number(new URL(gateway.url).port)
  /** What the system said to a new client, and the client where it was let in. */
  const come = async (): Promise<Socket | null> => {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    try {
      await once(socket, 'connect')
      socket.on('error', () => {}) // many are given up
      return socket
    } catch {
      return null
    }
  }
  /** Of a health check; 0 for a client that was refused, cut off, or not answered while it waited. */
  const status = async (patienceMs = 60_000): Promise<number> => {
    const socket = await come()
    if (socket === null) return 0
    socket.write('GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    socket.setTimeout(patienceMs, () => socket.destroy())
    const answer = await new Promise((resolve) =>
      socket.once('data', resolve).once('close', resolve)
    )
    socket.destroy()
    return answer instanceof Buffer ? Number(answer.toString().slice(9, 12)) : 0
  }
  return { gateway, come, status }
}

t.test('workers that fill and empty in turn never close the port between them', async (t) => {
  const { gateway, come, status } = await setUp(t)
  let refused = 0
  for (let round = 0; round < 30; round++) {
    const clients: (Socket | null)[] = []
    // As many as fill one worker, or both, in little steps, so that doors open and close meanwhile.
    for (let i = 0; i < (round % 4) * 6; i++) clients.push(await come())
    const statuses = await Promise.all(Array.from({ length: 4 }, () => status()))
    refused += [...clients, ...statuses].filter((one) => one === null || one === 0).length
    for (const client of clients) client?.destroy()
  }
  t.equal(refused, 0)
  t.same(
    gateway.lines.filter(({ msg }) => msg === 'worker died'),
    []
  )
})

t.test('when the only worker that listens dies, the other listens at the same port', async (t) => {
  const { gateway, come, status } = await setUp(t)
  const [, second] = gateway.workerPids()
  if (second === undefined) throw new Error('there are no workers')
  process.kill(second, 'SIGSTOP') // the first takes all it can, and then leaves the rest to the second
  for (let i = 0; i < PLACES; i++) await come()
  while ((await status(500)) === 200) await new Promise((resolve) => setTimeout(resolve, 20))
  process.kill(second, 'SIGKILL')
  let answered = 0
  for (let tries = 0; tries < 400 && answered < 10; tries++) {
    answered = (await status()) === 200 ? answered + 1 : 0
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
  t.equal(answered, 10, 'one after the other')
})

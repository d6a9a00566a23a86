import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t from 'tap'
import { messagesBody } from '../helper/agent-request.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { isNightly } from '../helper/nightly.ts'
import { quadraticBodies } from '../helper/quadratic-bodies.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

const CROWD = 300
/** A conversion of some 15 ms that needs no thread. */
const DEAR = 'properties below fifty levels of allOf'
const BYTES = 14_000
const SERVED = 'HTTP/1.1 200'

t.test('a health check behind a crowd of costly requests', async (t) => {
  const gateway = await startGateway({ env: { WORKERS: '1' } })
  t.teardown(() => gateway.destroy())
  const port = Number(new URL(gateway.url).port)
  const dear = quadraticBodies.find(({ name }) => name === DEAR)
  const post = postOf(Buffer.from(JSON.stringify(dear?.bodyOf(BYTES))))
  // What has to be loaded is, and it is known what such a request takes.
  for (let time = 0; time < 5; time++) await answerOf(await ask(port, post))
  const [worker = 0] = gateway.workerPids()

  process.kill(worker, 'SIGSTOP')
  const crowd = await Promise.all(Array.from({ length: CROWD }, () => ask(port, post)))
  let served = 0
  const all = crowd.map(async (socket) => {
    const answer = await answerOf(socket)
    if (answer.startsWith(SERVED)) served += 1
    return answer
  })
  const health = await ask(
    port,
    'GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n'
  )
  const metrics = answerOf(
    await ask(port, 'GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
  )
  process.kill(worker, 'SIGCONT')
  const startedAt = performance.now()
  t.match(await answerOf(health), /^HTTP\/1.1 200/)
  t.match(await metrics, /^kiro_gateway_transform_jobs\{state="running"\} [1-9]/m, 'in threads')
  t.comment(
    `after ${(performance.now() - startedAt).toFixed(0)} ms, ${served} of the crowd before it`
  )
  t.ok(served < CROWD / 2, `answered before most of those that came first (${served})`)
  for (const answer of await Promise.all(all)) t.match(answer, /^HTTP\/1.1 200/)
})

/** A worker of this gateway has as much memory for bodies as one of two in 512 MiB: one of these may get most of a crowd. */
const HALF_A_BOX = { WORKERS: '1', MEMORY_LIMIT: '280M' }
const IN_THREADS = { crowd: 300, bytes: 200_000, env: HALF_A_BOX }
const ON_THE_LOOP = [
  { crowd: 300, bytes: 14_000, env: {} },
  { crowd: 300, bytes: 60_000, env: {} }
]

for (const { crowd, bytes, env } of isNightly ? [IN_THREADS, ...ON_THE_LOOP] : [IN_THREADS]) {
  t.test(`${crowd} requests of ${bytes} bytes at once wait, and none is refused`, async (t) => {
    const gateway = await startGateway({ env })
    t.teardown(() => gateway.destroy())
    const port = Number(new URL(gateway.url).port)
    const post = postOf(messagesBody({ bytes, tools: 10 }))
    // The second time it is known what they take.
    for (let round = 0; round < 2; round++) {
      const sockets = await Promise.all(Array.from({ length: crowd }, () => ask(port, post)))
      const answers = await Promise.all(sockets.map(answerOf))
      const refused = answers.filter((answer) => !answer.startsWith(SERVED))
      t.same(refused, [])
    }
  })
}

/** A whole request to count the tokens of a body, the last on its connection. */
function postOf(body: Uint8Array): Buffer {
  const head = `POST /v1/messages/count_tokens HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n`
  return Buffer.concat([Buffer.from(head), body])
}

/** Resolves when the system has the connection and the request, whether or not a worker has. */
async function ask(port: number, request: string | Uint8Array): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port })
  await once(socket, 'connect')
  socket.write(request)
  return socket
}

async function answerOf(socket: Socket): Promise<string> {
  let text = ''
  socket.setEncoding('latin1').on('data', (piece: string) => (text += piece))
  await once(socket, 'end')
  return text
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { isComplete, startChat } from '../helper/chat-client.ts'
import { CountingUpstream } from '../helper/counting-upstream.ts'
import { startGateway } from '../helper/gateway-process.ts'
import { endFrame, textFrame } from '../helper/upstream-frames.ts'

t.setTimeout(600_000) // real processes, on a machine that may be busy

t.test('a dead worker’s connections count until the upstream has let go of them', async (t) => {
  const held: ServerResponse[] = []
  /** Those whose FIN has come; the upstream does not answer it yet. */
  const halfClosed: Socket[] = []
  const onRequest = (request: IncomingMessage, response: ServerResponse): void => {
    const { socket } = request
    if (request.url?.includes('generateAssistantResponse') !== true) response.writeHead(404).end()
    else if (isOver) answer(response)
    else {
      held.push(response)
      socket.removeAllListeners('end').once('end', () => halfClosed.push(socket))
    }
  }
  let isOver = false
  const upstream = await CountingUpstream.start(t, onRequest)
  const gateway = await startGateway({
    upstreamUrl: upstream.url.origin,
    env: {
      WORKERS: '2',
      WORKER_SPREAD: 'even',
      HTTP_MAX_CONNECTIONS: '8',
      WORKER_STALL_TIMEOUT: 'none'
    }
  })
  t.teardown(() => gateway.destroy())
  const [victim = 0, other = 0] = gateway.workerPids()
  process.kill(other, 'SIGSTOP')
  const doomed = Array.from({ length: 3 }, () => startChat(gateway.url, 'hi').answer)
  while (held.length < 3) await delay(5)
  process.kill(other, 'SIGCONT')
  process.kill(victim, 'SIGSTOP')
  const waiting = Array.from({ length: 9 }, () => startChat(gateway.url, 'hi').answer)
  while (held.length < 7) await delay(5)
  const before = gateway.lines.length
  process.kill(victim, 'SIGKILL')
  await Promise.all(doomed)
  while (held.length < 8) await delay(5) // the permit that it had no connection for is free
  // The next worker takes its time to start: whatever is wrongly free is long used by then.
  await gateway.logged(
    ({ msg, state }) => msg === 'worker changed state' && state === 'ready',
    before
  )
  t.equal(halfClosed.length, 3)
  t.equal(held.length, 8, 'nobody has the permit of a connection that is still there')
  isOver = true
  for (const socket of halfClosed) socket.end()
  for (const response of held) answer(response)
  t.equal((await Promise.all(waiting)).filter(isComplete).length, 9)
  t.equal(upstream.max, 8)
})

function answer(response: ServerResponse): void {
  response.end(Buffer.concat([textFrame('x'), endFrame]))
}

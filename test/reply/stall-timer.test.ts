import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { CollectReply } from '../../src/reply/sinks.ts'
import { StallTimer, whenSent } from '../../src/reply/stream-reply.ts'
import { serverUrl } from '../helper/server-url.ts'

/** More than the kernel takes for a client that reads nothing. */
const LARGE = 'x'.repeat(32 * 2 ** 20)

t.test('an answer that is never read', (t) => {
  t.test('is given up after the timeout, and not before', async (t) => {
    const { response } = await ask(t)
    const gone = new AbortController()
    const stall = new StallTimer({ response, timeoutMs: 50, gone })
    response.end(LARGE)
    const endedAt = performance.now()
    stall.watchEnd()
    await whenSent(response)
    t.ok(performance.now() - endedAt >= 49)
    t.match(gone.signal.reason, { code: 'GW_CLIENT_STALLED' })
  })
  t.test('is given up when it was collected, too', async (t) => {
    const { response } = await ask(t)
    const gone = new AbortController()
    replyWith(LARGE, { response, stallTimeoutMs: 50, gone }).end()
    await whenSent(response)
    t.equal(response.writableFinished, false)
    t.equal(gone.signal.aborted, true)
  })
  t.end()
})

t.test('an answer that is read late but in time is complete', async (t) => {
  const { client, response } = await ask(t)
  const gone = new AbortController()
  replyWith(LARGE, { response, stallTimeoutMs: 20_000, gone }).end()
  const sent = whenSent(response).then(() => 'sent')
  const turn = new Promise((resolve) => setImmediate(resolve, 'ended'))
  t.equal(await Promise.race([sent, turn]), 'ended', 'but not sent')
  client.resume()
  await sent
  t.equal(response.writableFinished, true)
  t.equal(gone.signal.aborted, false)
})

t.test('whenSent()', (t) => {
  t.test('resolves for a client that leaves', async (t) => {
    const { client, response } = await ask(t)
    response.end(LARGE)
    const sent = whenSent(response)
    client.destroy()
    await sent
    t.equal(response.writableFinished, false)
    await whenSent(response)
  })
  t.test('resolves for what was sent before', async (t) => {
    const { client, response } = await ask(t)
    client.resume()
    response.end('short')
    await once(response, 'finish')
    await whenSent(response)
    const gone = new AbortController()
    new StallTimer({ response, timeoutMs: 1, gone }).watchEnd()
    await delay(1) // begun after its own would have been
    t.equal(gone.signal.aborted, false)
  })
  t.end()
})

interface ReplyOptions {
  readonly response: ServerResponse
  readonly stallTimeoutMs: number
  readonly gone: AbortController
}

function replyWith(json: string, options: ReplyOptions): CollectReply {
  const writer = { push: () => '', toJson: () => json }
  return new CollectReply({ ...options, writer, headers: () => ({}) })
}

interface Tap {
  teardown(close: () => unknown): void
}

/** A request of a client that does not read yet. */
async function ask(t: Tap): Promise<{ client: Socket; response: ServerResponse }> {
  const server = createServer()
  const url = await serverUrl(server)
  const client = connect(Number(url.port), url.hostname)
  client.on('error', () => {}) // the test may end before the answer does
  client.write('GET / HTTP/1.1\r\nhost: gateway\r\n\r\n')
  const [, response] = (await once(server, 'request')) as [unknown, ServerResponse]
  t.teardown(() => {
    client.destroy()
    server.close()
    server.closeAllConnections()
  })
  return { client, response }
}

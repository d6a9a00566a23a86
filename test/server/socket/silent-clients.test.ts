import { on, once } from 'node:events'
import { createServer } from 'node:http'
import { setImmediate as nextTurn } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { KeptConversations } from '../../../src/server/socket/kept-conversations.ts'
import type { FrameResponse } from '../../../src/server/socket/frame-response.ts'
import { ResponsesSocket } from '../../../src/server/socket/responses-socket.ts'
import type { BodyMemory } from '../../../src/server/turn/body-memory.ts'
import { serverUrl } from '../../helper/server-url.ts'

/** Pings after which a client is gone that has answered none: before the first of them it has sent or been sent something. */
const LOOKS = 4

/** Not read before the answer under way has ended. */
const LARGE = JSON.stringify({ type: 'response.no', input: 'x'.repeat(100_000) })

t.test('a client that is silent between answers is gone', async (t) => {
  const { client, socket, response } = await askSilently(t)
  const closed = once(client, 'close')
  response.writeHead(200, EVENTS).write('data: {}\n\n')
  response.end()
  await once(response, 'close')
  t.ok(socket.isIdle)
  await lookAt(socket)
  await closed
})

t.test(
  'a client that is silent is gone once its answer stands still, and not before',
  async (t) => {
    const { client, socket, response, events } = await askSilently(t)
    const [closed, given] = [once(client, 'close'), once(response, 'close')]
    response.writeHead(200, EVENTS)
    // A slow client's answer to a ping comes as late as one that never comes.
    for (let count = 0; count < 2 * LOOKS; count++) {
      response.write('data: {}\n\n')
      client.ping() // says nothing of whether it reads
      await events.next()
      socket.look(performance.now(), true)
    }
    response.write('data: {}\n\n')
    await events.next() // or the test would end by its timeout
    await lookAt(socket)
    await closed
    await given
    t.ok(response.destroyed, 'the answer is given up, and with it what it held')
  }
)

t.test('a client that leaves while it is not read is gone soon', async (t) => {
  const { client, socket, gone } = await askSilently(t)
  client.send(LARGE)
  const looks = setInterval(() => socket.look(performance.now(), false), 5)
  t.teardown(() => clearInterval(looks))
  await once(client, 'ping')
  client.terminate()
  await gone
})

t.test('pongs of a client that was not read for long are no flood', async (t) => {
  const { client, socket, response, events } = await askSilently(t)
  client.send(LARGE)
  const looks = setInterval(() => socket.look(performance.now(), false), 1)
  for (let count = 0; count < 200; count++) {
    await once(client, 'ping')
    client.pong()
  }
  clearInterval(looks)
  response.writeHead(200, EVENTS)
  response.end('data: {}\n\n')
  await events.next()
  const closed = once(client, 'close').then(() => 'closed')
  t.not(await Promise.race([events.next(), closed]), 'closed')
})

t.test('mistakes of an hour do not add up', async (t) => {
  const { client, socket, events } = await askSilently(t)
  for (let count = 0; count < 40; count++) {
    client.send('{"type":"response.steer"}')
    await events.next()
    client.pong()
    socket.look(performance.now(), true)
  }
  t.equal(client.readyState, WebSocket.OPEN)
})

async function lookAt(socket: ResponsesSocket): Promise<void> {
  for (let count = 0; count < LOOKS; count++) {
    socket.look(performance.now(), true)
    await nextTurn() // what it has sent is the system's
  }
}

const EVENTS = { 'content-type': 'text/event-stream' }

/** Asks for a response, as a client that answers no ping. */
async function askSilently(t: Test) {
  const server = createServer()
  t.teardown(() => server.close())
  const url = await serverUrl(server)
  const opened = Promise.withResolvers<ResponsesSocket>()
  const asked = Promise.withResolvers<FrameResponse>()
  const gone = Promise.withResolvers<void>()
  const kept = new KeptConversations({
    budget: { lend: () => ({ bytes: 0 }), spareBytes: 0 },
    maxBytes: () => 0
  })
  const memory = {
    reserve: async () => {},
    reserveUnread: async () => {},
    release: () => {}
  } as unknown as BodyMemory
  server.on('upgrade', (request, socket, head) => {
    new WebSocketServer({ noServer: true }).handleUpgrade(request, socket, head, (webSocket) =>
      opened.resolve(
        new ResponsesSocket({
          webSocket,
          request,
          place: { begin: () => {}, rest: () => {} },
          kept,
          maxBodyBytes: 1_000_000,
          bodyTimeoutMs: () => 600_000,
          makeId: () => 'req_1',
          memoryFor: () => memory,
          waitInLine: async () => () => {},
          answer: ({ response }) => {
            asked.resolve(response)
            return { abort: () => {} }
          },
          onGone: gone.resolve
        })
      )
    )
  })
  const client = new WebSocket(url.href.replace('http', 'ws'), { autoPong: false })
  t.teardown(() => client.terminate())
  client.on('error', () => {})
  const events = on(client, 'message')
  client.once('open', () => client.send('{"type":"response.create","input":"hi"}'))
  const socket = await opened.promise
  return { client, events, socket, response: await asked.promise, gone: gone.promise }
}

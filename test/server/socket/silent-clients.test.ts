import { createServer } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { WebSocket, WebSocketServer } from 'ws'
import { KeptConversations } from '../../../src/server/socket/kept-conversations.ts'
import type { FrameResponse } from '../../../src/server/socket/frame-response.ts'
import { ResponsesSocket } from '../../../src/server/socket/responses-socket.ts'
import type { BodyMemory } from '../../../src/server/turn/body-memory.ts'
import { serverUrl } from '../../helper/server-url.ts'

t.test('a client that is silent is gone, unless it has an answer to read', async (t) => {
  const server = createServer()
  t.teardown(() => server.close())
  const url = await serverUrl(server)
  const opened = Promise.withResolvers<ResponsesSocket>()
  const asked = Promise.withResolvers<FrameResponse>()
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
          maxBodyBytes: 1000,
          bodyTimeoutMs: () => 1000,
          makeId: () => 'req_1',
          memoryFor: () => memory,
          waitInLine: async () => () => {},
          answer: ({ response }) => {
            asked.resolve(response)
            return { abort: () => {} }
          },
          onGone: () => {}
        })
      )
    )
  })
  // A slow client's answer to a ping comes as late as one that never comes.
  const client = new WebSocket(url.href.replace('http', 'ws'), { autoPong: false })
  t.teardown(() => client.terminate())
  const socket = await opened.promise
  const look = async (): Promise<void> => {
    for (let count = 0; count < 6; count++) {
      socket.look(performance.now(), true)
      if (client.readyState === client.OPEN) client.ping() // says nothing of whether it reads
      await delay(10)
    }
  }
  client.once('open', () => client.send('{"type":"response.create","input":"hi"}'))
  const response = await asked.promise
  response.writeHead(200, { 'content-type': 'text/event-stream' }).write('data: {}\n\n')
  await look()
  t.equal(client.readyState, client.OPEN)
  response.end()
  await delay(20)
  t.ok(socket.isIdle)
  client.on('error', () => {})
  await look()
  await delay(50)
  t.equal(client.readyState, client.CLOSED)
})

import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { descriptionRoutes } from '../../../src/server/http/description-routes.ts'
import { serverUrl } from '../../helper/server-url.ts'

t.setTimeout(120_000)

t.test('a client that left while the description was loaded takes nobody’s place', async (t) => {
  const route = descriptionRoutes().find(({ path }) => path === '/openapi.json')
  const open = new Set<Socket>()
  let served = 0
  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { socket } = request
    if (request.url === '/gone') await once(socket.destroy(), 'close')
    const routed = { request, response, requestId: '', keyName: '', namedKey: null, kiroKey: null }
    await route?.serve({ ...routed, params: {} })
    served += 1
  }
  const server = createServer((...args) => void serve(...args))
  server.on('connection', (socket) => {
    open.add(socket.once('close', () => open.delete(socket)))
    socket.destroySoon = () => {} // waits until its client has read everything
  })
  const { port } = await serverUrl(server)
  t.teardown(() => {
    for (const socket of open) socket.destroy()
    server.close()
  })
  const ask = async (path: string): Promise<void> => {
    const client = connect(Number(port), '127.0.0.1').on('error', () => {})
    t.teardown(() => client.destroy())
    await once(client, 'connect')
    const before = served
    client.write(`GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`)
    while (served === before) await delay(5)
  }
  await ask('/gone')
  for (let i = 0; i < 17; i++) await ask('/openapi.json')
  for (let waits = 0; waits < 1_000 && open.size > 16; waits++) await delay(10)
  t.equal(open.size, 16, 'the oldest that is there was reset')
})

import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { type Ask, askGateway } from './client.ts'
import { World } from './world.ts'

/** Between what the client reads first and the end. */
const PAUSE_MS = 20

/** Asks a server whose answer ends soon after its text, as a client that rests; returns how it ended, and ms until then. */
async function askAndRest(t: Test, status: number, restsMs: number) {
  const body = { choices: [{ message: { content: 'one' }, finish_reason: 'stop' }] }
  const server = createServer((_, response) => {
    response.writeHead(status).write(JSON.stringify(body))
    void delay(PAUSE_MS).then(() => response.end())
  })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  const ask: Ask = {
    id: 1,
    port,
    dialect: 'chat',
    isStreamed: false,
    isOnSocket: false,
    text: 'one',
    talk: null,
    words: '',
    isAtOnce: false,
    key: null,
    history: 0,
    leavesAfterMs: null,
    restsMs
  }
  const begunAt = performance.now()
  const { end } = await askGateway(new World(7), ask)
  return { end, ms: performance.now() - begunAt }
}

t.test('a client rests before it reads on', async (t) => {
  const { end, ms } = await askAndRest(t, 200, 300)
  t.equal(end, 'whole')
  t.ok(ms > 290, `${ms} ms`)
})

t.test('a refusal is read at once', async (t) => {
  const { end, ms } = await askAndRest(t, 503, 10_000)
  t.equal(end, 'error')
  t.ok(ms < 9_000, `${ms} ms`)
})

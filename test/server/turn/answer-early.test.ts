import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { answerEarly } from '../../../src/server/turn/answer-early.ts'
import { discardRest } from '../../../src/server/turn/answer-early.ts'
import { serverUrl } from '../../helper/server-url.ts'

const REPLY = { status: 413, headers: {}, body: 'too large' }

t.test(
  'a client that stops in the middle of its body reads the answer and is let go',
  async (t) => {
    const { client, request, response } = await begin(t, 'POST')
    answerEarly(request, response, REPLY, { maxBytes: 1000, timeoutMs: 50 })
    t.match(await textOf(client), /^HTTP\/1\.1 413 [\s\S]*too large$/)
  }
)

t.test('a client that sends more than anybody reads is let go, too', async (t) => {
  const { client, request, response } = await begin(t, 'POST')
  answerEarly(request, response, REPLY, { maxBytes: 1000, timeoutMs: 60_000 })
  client.write('x'.repeat(1001))
  t.match(await textOf(client), /^HTTP\/1\.1 413 [\s\S]*too large$/)
})

t.test('a client that sends all of its body keeps its connection', async (t) => {
  const { client, request, response, server } = await begin(t, 'POST')
  answerEarly(request, response, REPLY, { maxBytes: 5000, timeoutMs: 60_000 })
  client.write(`${'x'.repeat(2000)}GET /next HTTP/1.1\r\nhost: x\r\n\r\n`)
  const [next] = (await once(server, 'request')) as [IncomingMessage]
  t.equal(next.url, '/next')
})

t.test(
  'a route that reads no body ends with its answer, and so does a client that sends none',
  async (t) => {
    const { client, request, response } = await begin(t, 'GET')
    response.end('ok')
    await once(response, 'finish')
    let calls = 0
    discardRest(request, () => calls++, { maxBytes: 1000, timeoutMs: 50 })
    t.match(await textOf(client), /^HTTP\/1\.1 200 /)
    t.equal(calls, 1)
  }
)

t.test('a client that sends an ordinary body before it reads gets all of its answer', async (t) => {
  const BYTES = 5_000_000
  const { client, request, response } = await begin(t, 'POST', BYTES)
  answerEarly(request, response, REPLY)
  client.end('x'.repeat(BYTES - 2))
  t.match(await textOf(client), /^HTTP\/1\.1 413 [\s\S]*too large$/)
})

t.test('clients that send as fast as they can are read at a pace, all of them alike', async (t) => {
  const clients = await Promise.all(Array.from({ length: 10 }, () => begin(t, 'POST', 2 ** 30)))
  const piece = Buffer.alloc(256 * 1024, 'x')
  const startedAt = performance.now()
  for (const { client, request, response } of clients) {
    const send = (): void => {
      while (client.writable && client.write(piece));
    }
    client.on('drain', send)
    answerEarly(request, response, REPLY, { maxBytes: 2 ** 30, timeoutMs: 60_000 })
    send()
  }
  const read = (): number[] => clients.map(({ request }) => request.socket.bytesRead)
  while (Math.min(...read()) < 2 ** 20) await new Promise((resolve) => setTimeout(resolve, 5))
  const all = read()
  const ticks = Math.ceil((performance.now() - startedAt) / 20)
  const sum = all.reduce((total, one) => total + one)
  t.ok(sum < (ticks + 2) * 450_000 + 10 * 512 * 1024, `${sum} bytes in ${ticks} ticks`)
  t.ok(Math.max(...all) < 3 * 2 ** 20, `as much of each: ${all.join(' ')}`)
})

/** A request of which two of 2000 bytes have come, or of as many as are said. */
async function begin(t: Test, method: string, bytes = 2002) {
  const server = createServer({ requestTimeout: 0 })
  const url = new URL(await serverUrl(server))
  const client = connect(Number(url.port), '127.0.0.1')
  client.on('error', () => {}) // the other side may close first
  t.teardown(() => {
    client.destroy()
    server.close()
    server.closeAllConnections()
  })
  client.write(`${method} / HTTP/1.1\r\nhost: x\r\ncontent-length: ${bytes}\r\n\r\nxx`)
  const [request, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse]
  return { server, client, request, response }
}

/** All that arrives until the connection is closed. */
async function textOf(client: Socket): Promise<string> {
  let text = ''
  client.on('data', (chunk: Buffer) => {
    text += chunk.toString()
  })
  await once(client, 'close')
  return text
}

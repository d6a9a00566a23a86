import { readFileSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { parseSocketTable } from '../helper/socket-table.ts'
import { alivePeers } from '../chaos/kernel-view.ts'
import { connectionPool, RecordedExchange } from '../helper/recorded-exchange.ts'
import { serverUrl } from '../helper/server-url.ts'

/** An upstream that hears nothing: too busy to read a request, or to notice a FIN. */
async function deafUpstream(t: Test, protocol: 'http' | 'https') {
  const accepted = Promise.withResolvers<Socket>()
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    socket.on('error', () => {}) // the reset
    t.teardown(() => socket.destroy())
    accepted.resolve(socket)
  })
  const url = await serverUrl(server, protocol)
  t.teardown(() => server.close())
  return { url, accepted: accepted.promise }
}

/** Connections that a peer on this port has to think of as open. */
function openAt(url: URL): number {
  const open = ['established', 'close-wait']
  return parseSocketTable(readFileSync('/proc/net/tcp', 'utf8')).filter(
    ({ localPort, state }) => localPort === Number(url.port) && open.includes(state)
  ).length
}

/** Of an answer of two bytes. */
function head(lines: string): string {
  return `HTTP/1.1 200 OK\r\ncontent-length: 2\r\n${lines}\r\n`
}

t.test('a permit comes back when a peer that hears nothing has lost the connection', async (t) => {
  t.test('after silence inside an answer', async (t) => {
    const { url, accepted } = await deafUpstream(t, 'http')
    const pool = connectionPool(t)
    const sent = Promise.withResolvers<void>()
    const call = new RecordedExchange(pool, url, {
      bodyTimeoutMs: 100,
      onSent: () => setImmediate(sent.resolve)
    })
    const peer = await accepted
    await sent.promise
    peer.write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf')
    await call.over()
    t.equal(call.text, 'half')
    t.match(call.cause, { code: 'UND_ERR_BODY_TIMEOUT' })
    t.equal(openAt(url), 0)
    t.match(pool.stats(), { busy: 0, closing: 0 })
  })

  t.test('after a handshake that took too long', async (t) => {
    const { url } = await deafUpstream(t, 'https')
    const pool = connectionPool(t, { connectTimeoutMs: 50 })
    const call = await new RecordedExchange(pool, url).over()
    t.match(call.cause, { code: 'UND_ERR_CONNECT_TIMEOUT' })
    t.equal(openAt(url), 0)
  })

  t.test('after a handshake whose client left', async (t) => {
    const { url, accepted } = await deafUpstream(t, 'https')
    const call = new RecordedExchange(connectionPool(t), url)
    await accepted
    call.abort()
    await call.over()
    t.equal(openAt(url), 0)
  })
})

t.test(
  'nothing is left of a connection whose peer closed it with most of a request unread',
  async (t) => {
    for (const [what, answer, ends] of [
      ['after a whole answer', `${head('')}ok`, 1],
      ['after its last answer', `${head('connection: close\r\n')}ok`, 1],
      ['in the middle of an answer', `${head('')}o`, 0],
      ['without an answer', '', 0]
    ] as const) {
      t.test(what, async (t) => {
        const { url, accepted } = await deafUpstream(t, 'http')
        const pool = connectionPool(t)
        const call = new RecordedExchange(pool, url, { body: Buffer.alloc(1_000_000, 'x') })
        const peer = await accepted
        peer.end(answer)
        await call.over()
        t.equal(call.ends, ends)
        while (pool.stats().idle > 0) await new Promise((resolve) => setImmediate(resolve))
        await pool.trim(0)
        t.same([...alivePeers(Number(url.port))], [])
        t.match(pool.stats(), { busy: 0, idle: 0, closing: 0 })
      })
    }
  }
)

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { Client, type Dispatcher } from 'undici'
import SameClient from 'undici/lib/dispatcher/client.js'
import { type CloseReason, Connection } from '../../../src/upstream/connections/connection.ts'
import { CountingUpstream } from '../../helper/counting-upstream.ts'

t.test('the engine is the client that undici exports', async (t) => {
  t.equal(SameClient, Client)
})

t.test('dispatch()', (t) => {
  t.test('fails once, and the process lives on, if the socket closed before', async (t) => {
    const { connection } = await connected(t)
    connection.socket.destroy()
    const result = await send(connection)
    t.match(result, { code: 'ECONNRESET' })
  })

  t.test(
    'fails once, and the process lives on, if the socket closes before it is written',
    async (t) => {
      const { connection } = await connected(t)
      t.equal(await send(connection), 'ok')
      t.equal(connection.settle(), true)
      const second = send(connection) // the engine writes it a turn later
      connection.socket.destroy()
      t.match(await second, { code: /^(ECONNRESET|UND_ERR_SOCKET)$/ })
    }
  )

  t.test('is refused while another request runs', async (t) => {
    const { connection } = await connected(t)
    const first = send(connection)
    t.throws(() => void send(connection), /busy/)
    t.equal(await first, 'ok')
    t.throws(() => void send(connection), /busy/, 'until settle()')
  })

  t.test('counts requests and tells whether one was answered', async (t) => {
    const { connection } = await connected(t)
    for (let i = 1; i < 4; i++) {
      const sent = send(connection)
      t.equal(connection.isUnanswered, true)
      await sent
      t.equal(connection.isUnanswered, false)
      t.equal(connection.requests, i)
      connection.settle()
    }
  })
  t.end()
})

t.test('an end or an error that the socket tells after its close ends nothing', async (t) => {
  const { connection, closed } = await connected(t)
  await send(connection)
  connection.settle()
  const { socket } = connection
  socket.destroy()
  await closed
  t.equal(socket.listenerCount('end'), 0)
  socket.emit('end')
  socket.emit('error', Object.assign(new Error('late'), { code: 'ECONNRESET' }))
})

t.test('settle()', async (t) => {
  const { connection, upstream, closed } = await connected(t)
  t.equal(connection.settle(), false, 'nothing was sent')
  await send(connection)
  t.equal(connection.isIdle, false)
  t.equal(connection.settle(), true)
  t.equal(connection.isIdle, true)
  t.equal(connection.settle(), false, 'only once')
  await send(connection)
  upstream.sockets[0]!.end()
  await once(connection.socket, 'end')
  t.equal(connection.settle(), false, 'its peer has closed')
  t.equal(await closed, 'peer_fin')
})

t.test('close()', (t) => {
  t.test('ends with a FIN and tells the first reason once', async (t) => {
    const { connection, upstream, closed } = await connected(t)
    await send(connection)
    const peer = upstream.sockets[0]!
    const end = once(peer, 'end')
    connection.close('expired')
    connection.close('reclaimed')
    connection.reset('abandoned')
    t.equal(await closed, 'expired')
    await end.catch(() => t.comment('the reset was faster'))
    await upstream.empty()
  })

  t.test('is what remains after any end', async (t) => {
    const { connection, closed } = await connected(t)
    connection.reset('abandoned')
    t.equal(await closed, 'abandoned')
    connection.close('expired')
    connection.reset('expired')
    t.equal(connection.isIdle, false)
    t.throws(() => void send(connection), /closed/)
  })
  t.end()
})

t.test('a server that said `connection: close`', (t) => {
  const answer = 'HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok'

  t.test('has its connection counted until it lets go', async (t) => {
    const { connection, upstream, closed } = await connected(t)
    const { promise: heard, resolve: onHeard } = Promise.withResolvers<Socket>()
    upstream.onRequest = ({ socket }) => {
      socket.removeAllListeners('end').once('end', () => onHeard(socket))
      socket.write(answer)
    }
    t.equal(await send(connection), 'ok')
    const peer = await heard
    t.equal(connection.socket.destroyed, false, 'its FIN is waited for')
    t.equal(connection.settle(), false)
    peer.end()
    t.equal(await closed, 'server_close')
    await upstream.empty()
  })

  t.test('is not waited for longer than for another that somebody needs', async (t) => {
    const { connection, upstream, closed } = await connected(t)
    upstream.onRequest = ({ socket }) => {
      socket.removeAllListeners('end')
      socket.write(answer)
    }
    t.equal(await send(connection), 'ok')
    t.equal(await closed, 'server_close')
  })
  t.end()
})

interface Connected {
  readonly connection: Connection
  readonly upstream: CountingUpstream
  /** Resolves with the reason when the connection has gone; it may go only once. */
  readonly closed: Promise<CloseReason>
}

async function connected(t: Test): Promise<Connected> {
  const upstream = await CountingUpstream.start(t)
  const socket = connect(Number(upstream.url.port), '127.0.0.1')
  await once(socket, 'connect')
  const { promise, resolve } = Promise.withResolvers<CloseReason>()
  let isClosed = false
  const onClosed = (_connection: Connection, reason: CloseReason): void => {
    if (isClosed) throw new Error('closed twice')
    isClosed = true
    resolve(reason)
  }
  const connection = new Connection({ origin: upstream.url, socket, transport: socket, onClosed })
  t.teardown(() => connection.reset('abandoned'))
  return { connection, upstream, closed: promise }
}

/** The text of the answer, or why there is none. */
function send(connection: Connection): Promise<unknown> {
  const { promise, resolve } = Promise.withResolvers<unknown>()
  let text = ''
  let endings = 0
  const end = (result: unknown): void => {
    endings += 1
    resolve(endings === 1 ? result : new Error('ended twice'))
  }
  const handler: Dispatcher.DispatchHandler = {
    onRequestStart() {},
    onResponseStart() {},
    onResponseData(_controller, chunk) {
      text += chunk.toString()
    },
    onResponseEnd: () => end(text),
    onResponseError: (_controller, error) => end(error)
  }
  const { origin } = connection.origin
  connection.dispatch({ origin, path: '/', method: 'POST', body: 'x' }, handler)
  return promise
}

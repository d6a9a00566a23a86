import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { type CloseReason, Connection } from '../../src/upstream/connections/connection.ts'
import { serverUrl } from '../helper/server-url.ts'

/** A connection whose peer never answers a FIN. */
async function openToDeaf(t: Test) {
  const accepted = Promise.withResolvers<Socket>()
  const server = createServer({ pauseOnConnect: true }, (socket) => accepted.resolve(socket))
  const origin = await serverUrl(server)
  const socket = connect(Number(origin.port), '127.0.0.1')
  await once(socket, 'connect')
  const peer = await accepted.promise
  peer.on('error', () => {}) // the reset
  const { promise: closed, resolve } = Promise.withResolvers<CloseReason>()
  const onClosed = (_connection: Connection, reason: CloseReason): void => resolve(reason)
  const connection = new Connection({ origin, socket, transport: socket, onClosed })
  t.teardown(() => {
    socket.destroy()
    peer.destroy()
    server.close()
  })
  return { connection, closed }
}

t.test('a permit is not lost with a connection', (t) => {
  t.test('whose patience for a FIN ends before the FIN is sent', async (t) => {
    const { connection, closed } = await openToDeaf(t)
    setImmediate(() => {
      connection.close('abandoned')
      // Busy until its timer is due, which then fires before the engine room sends anything.
      process.nextTick(() => process.nextTick(() => blockFor(60)))
    })
    t.equal(await closed, 'abandoned')
  })

  t.test('that is reset in the turn in which it was closed', async (t) => {
    const { connection, closed } = await openToDeaf(t)
    connection.close('expired')
    process.nextTick(() => process.nextTick(() => connection.reset('abandoned')))
    t.equal(await closed, 'expired')
  })
  t.end()
})

function blockFor(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

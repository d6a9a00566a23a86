import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { connect as connectTls, createServer as createTlsServer } from 'node:tls'
import t, { type Test } from 'tap'
import { dropSocket } from '../../src/upstream/socket.ts'
import { selfSignedCertificate } from '../helper/self-signed-certificate.ts'

/** Both ends of a connection; the peer keeps its half open whatever comes. */
async function pair(t: Test): Promise<readonly [Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const accepted = once(server, 'connection') as Promise<[Socket]>
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1')
  const [peer] = await accepted
  peer.on('error', () => {})
  t.teardown(() => peer.destroy())
  if (socket.connecting) await once(socket, 'connect')
  return [socket, peer]
}

t.test('dropSocket()', async (t) => {
  t.test('resets an open connection', async (t) => {
    const [socket, peer] = await pair(t)
    const failed = once(peer, 'error') as Promise<[NodeJS.ErrnoException]>
    dropSocket(socket)
    t.equal((await failed)[0].code, 'ECONNRESET')
  })

  t.test('leaves no connection behind whose FIN is on its way', async (t) => {
    const [socket, peer] = await pair(t)
    const gone = new Promise<void>((resolve) => {
      peer.once('end', resolve).once('error', () => resolve())
    })
    peer.resume()
    socket.end()
    dropSocket(socket)
    await Promise.all([gone, once(socket, 'close')])
    t.notOk(process.getActiveResourcesInfo().includes('ConnectWrap'))
    peer.destroy()
    await once(peer, 'close')
    t.equal(process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length, 0)
  })

  t.test('leaves no connection behind over which TLS sends its FIN', async (t) => {
    const certificate = selfSignedCertificate()
    const server = createTlsServer(certificate, (peer) => peer.on('error', () => {}).resume())
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const transport = connect(port, '127.0.0.1')
    const socket = connectTls({ socket: transport, host: '127.0.0.1', ca: certificate.cert })
    socket.on('error', () => {})
    transport.on('error', () => {})
    await once(socket, 'secureConnect')
    const closed = once(transport, 'close')
    socket.end()
    dropSocket(transport, socket)
    await closed
    // Does not come about while a connection is left.
    await new Promise((resolve) => server.close(resolve))
    while (process.getActiveResourcesInfo().includes('TCPSocketWrap')) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    t.pass('the system knows of none either')
  })

  t.test('does nothing to one that is closed', async (t) => {
    const [socket] = await pair(t)
    socket.destroy()
    t.doesNotThrow(() => dropSocket(socket))
  })
})

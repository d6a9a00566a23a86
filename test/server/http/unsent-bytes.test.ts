import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { networkInterfaces } from 'node:os'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  portPairOf,
  readUnsentBytes,
  readUnsentBytesNow
} from '../../../src/server/http/unsent-bytes.ts'

const isLinux = process.platform === 'linux'
const hasIPv6 = Object.values(networkInterfaces()).some((all) =>
  all?.some(({ address }) => address === '::1')
)

/** Listens on `host`, and gives the server's side of the clients that it opens, which read nothing. */
async function listen(t: Test, host: string) {
  const server = createServer()
  const clients: Socket[] = []
  t.teardown(() => {
    for (const client of clients) client.destroy()
    server.close()
  })
  await once(server.listen(0, host), 'listening')
  const { port } = server.address() as AddressInfo
  return async (from: { host: string; localAddress: string; localPort?: number }) => {
    const accepted = once(server, 'connection')
    clients.push(connect({ port, ...from }).pause())
    const [socket] = (await accepted) as [Socket]
    return socket.on('error', () => {})
  }
}

/** Writes more than the system takes for a client. Resolves when the table tells of it. */
async function leaveUnread(socket: Socket): Promise<void> {
  socket.write(Buffer.alloc(16 * 2 ** 20))
  while (((await readUnsentBytes()).byPorts?.get(portPairOf(socket)) ?? 0) < 100_000)
    await delay(10)
}

t.test('clients with one port at two addresses are told apart', { skip: !isLinux }, async (t) => {
  for (const host of hasIPv6 ? ['0.0.0.0', '::'] : ['0.0.0.0']) {
    const open = await listen(t, host)
    const unread = await open({ host: '127.0.0.1', localAddress: '127.0.0.2' })
    const localPort = unread.remotePort ?? 0
    const other = await open({ host: '127.0.0.1', localAddress: '127.0.0.3', localPort })
    await leaveUnread(unread)
    t.equal(other.remotePort, localPort)
    t.equal(readUnsentBytesNow().byPorts?.get(portPairOf(other)) ?? 0, 0, `of ${host}`)
  }
})

t.test('a client at an IPv6 address is found', { skip: !isLinux || !hasIPv6 }, async (t) => {
  const open = await listen(t, '::1')
  await leaveUnread(await open({ host: '::1', localAddress: '::1' }))
  t.pass('the table tells of it')
})

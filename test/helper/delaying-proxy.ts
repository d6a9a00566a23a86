import { connect, createServer, type Socket } from 'node:net'
import { serverUrl } from './server-url.ts'

/**
 * Passes TCP connections on to a port of loopback and holds everything back for a time, each way: bytes, and the end of
 * a connection. Its opening is as late as the first bytes: loopback itself has accepted at once.
 */
export async function delayingProxy(
  t: { teardown(close: () => unknown): void },
  { port, delayMs }: { readonly port: number; readonly delayMs: number }
): Promise<{ readonly port: number }> {
  const sockets = new Set<Socket>()
  const server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const upstream = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true })
    join(client, upstream, 2 * delayMs) // the SYN's way, there and back
    join(upstream, client, 0)
  })
  const join = (from: Socket, to: Socket, firstMs: number): void => {
    const opensAt = performance.now() + firstMs
    const later = (act: () => void): void => {
      setTimeout(act, delayMs + Math.max(0, opensAt - performance.now()))
    }
    sockets.add(from)
    from.on('data', (chunk) => later(() => to.writable && to.write(chunk)))
    from.on('end', () => later(() => to.end()))
    from.on('error', () => later(() => to.resetAndDestroy()))
    from.on('close', () => sockets.delete(from))
  }
  const { port: own } = await serverUrl(server)
  t.teardown(() => {
    server.close()
    for (const socket of sockets) socket.destroy()
  })
  return { port: Number(own) }
}

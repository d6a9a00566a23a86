import { once } from 'node:events'
import type { AddressInfo, Server } from 'node:net'

/** Lets a server listen on any free port of loopback; resolves with its address. */
export async function serverUrl(server: Server, protocol: 'http' | 'https' = 'http'): Promise<URL> {
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1024 })
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  return new URL(`${protocol}://127.0.0.1:${port}/`)
}

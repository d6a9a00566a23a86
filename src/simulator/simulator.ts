import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { SimulatedUpstream } from './request-handler.ts'

export interface ListenOptions {
  readonly host?: string
  readonly port?: number
  readonly keepAliveTimeoutMs?: number
}

const DEFAULT_KEEP_ALIVE_MS = 600_000
/** A cluster opens its whole budget at once. */
const LISTEN_BACKLOG = 4_096

/** Serves a fake upstream on loopback (`docs/lab/simulator.md`). */
export async function listen(
  upstream: SimulatedUpstream,
  { host = '127.0.0.1', port = 0, keepAliveTimeoutMs = DEFAULT_KEEP_ALIVE_MS }: ListenOptions = {}
): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer((request, response) => {
    void upstream.handle(request, response) // rejects only for a bug, which must be seen
  })
  server.keepAliveTimeout = keepAliveTimeoutMs
  server.keepAliveTimeoutBuffer = 0
  server.listen({ host, port, backlog: LISTEN_BACKLOG })
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('not listening on TCP')
  return { server, port: address.port }
}

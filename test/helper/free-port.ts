import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Below the ports that systems give to programs which ask for any, so that it stays free until it is used, also again. */
const PORTS = [20_000, 32_768] as const

/** A port of loopback that nobody listens at. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(...PORTS)
    const server = createServer()
    const taken = once(server, 'error').then(() => true)
    server.listen(port, '127.0.0.1')
    if (await Promise.race([taken, once(server, 'listening').then(() => false)])) continue
    server.close()
    await once(server, 'close')
    return port
  }
}

import { connect, createServer, type Server, type Socket } from 'node:net'
import { serverUrl } from '../helper/server-url.ts'

/** Stands between a client and a gateway, and counts what the client sends. */
export class ByteRelay {
  /** Bytes from the client, headers and framing included. */
  sent = 0
  readonly url: string
  readonly #server: Server
  readonly #open = new Set<Socket>()

  private constructor(server: Server, url: string) {
    this.#server = server
    this.url = url
  }

  static async start(target: string): Promise<ByteRelay> {
    const { hostname, port } = new URL(target)
    const server = createServer()
    const relay = new ByteRelay(server, (await serverUrl(server)).origin)
    server.on('connection', (client) => relay.#join(client, connect(Number(port), hostname)))
    return relay
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#open) socket.destroy()
  }

  #join(client: Socket, gateway: Socket): void {
    client.on('data', ({ byteLength }: Buffer) => (this.sent += byteLength))
    client.pipe(gateway).pipe(client)
    for (const [socket, other] of [
      [client, gateway],
      [gateway, client]
    ] as const) {
      this.#open.add(socket)
      socket.setNoDelay(true).on('error', () => other.destroy())
      socket.once('close', () => {
        this.#open.delete(socket)
        other.destroySoon()
      })
    }
  }
}

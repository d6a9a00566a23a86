import { once } from 'node:events'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

/** The way from one gateway to Valkey, which can be cut, or hold back whatever is said and say it later. */
export class PausableProxy {
  readonly port: number
  readonly #server: Server
  readonly #targetPort: number
  readonly #sockets = new Set<Socket>()
  #state: 'open' | 'held' | 'cut' = 'open'

  private constructor(server: Server, port: number, targetPort: number) {
    this.#server = server
    this.port = port
    this.#targetPort = targetPort
    server.on('connection', (socket) => this.#accept(socket))
  }

  static async start(targetPort: number): Promise<PausableProxy> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    if (address === null || typeof address === 'string') throw new Error('no port')
    return new PausableProxy(server, address.port, targetPort)
  }

  /** Nothing arrives, in either direction, and all of it does later; connections stay. */
  async holdFor(ms: number): Promise<void> {
    this.#state = 'held'
    for (const socket of this.#sockets) socket.pause()
    await delay(ms)
    this.#state = 'open'
    for (const socket of this.#sockets) socket.resume()
  }

  /** Every connection breaks, and no other lasts. */
  async cutFor(ms: number): Promise<void> {
    this.#state = 'cut'
    for (const socket of this.#sockets) socket.resetAndDestroy()
    await delay(ms)
    this.#state = 'open'
  }

  close(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  #accept(client: Socket): void {
    if (this.#state === 'cut') {
      client.on('error', () => {}).resetAndDestroy()
      return
    }
    const engine = connect(this.#targetPort, '127.0.0.1')
    this.#join(client, engine)
    this.#join(engine, client)
    if (this.#state === 'held') for (const one of [client, engine]) one.pause()
  }

  /** What comes from one goes to the other; they are few and short, so nothing is ever throttled. */
  #join(from: Socket, to: Socket): void {
    this.#sockets.add(from)
    from
      .setNoDelay(true)
      .on('data', (chunk) => to.write(chunk))
      .on('error', () => {})
      .on('close', () => {
        this.#sockets.delete(from)
        to.destroy()
      })
  }
}

import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { type ListenOptions, Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'

export interface ListenerOptions {
  readonly host: string
  /** 0 for any: workers of a cluster get the same one, as long as one of them listens there. */
  readonly port: number
  /** Where workers of this gateway have listened before; it stays the same, whichever of them has died. */
  readonly boundPort: number | null
  /** For each address of the host. */
  readonly createServer: () => Server
}

/**
 * Where a worker takes connections of clients. It can be closed and opened again while clients are connected: those
 * stay, as only the listening sockets are closed. They are shared with the other workers, so that no client is lost
 * that has not been accepted yet.
 */
export class Listener {
  readonly #options: ListenerOptions
  /** Bounded by the addresses of a host. */
  readonly #servers: Server[] = []
  #port: number | null
  #isWanted = false

  constructor(options: ListenerOptions) {
    this.#options = options
    this.#port = options.boundPort
  }

  /** Resolves with the port when it listens. @throws what the system says of the host's first address */
  async open(): Promise<number> {
    this.#isWanted = true
    const [main, ...others] = await this.#addresses()
    const port = await this.#openMain(main)
    this.#port = port
    // An address of another family may not be there at all.
    await Promise.allSettled(others.map((host, i) => listen(this.#serverAt(i + 1), { host, port })))
    if (!this.#isWanted) void this.close()
    return port
  }

  /** Opens it again, as often as it takes; `false` if it was closed meanwhile. */
  async reopen(): Promise<boolean> {
    this.#isWanted = true
    while (this.#isWanted) {
      try {
        await this.open()
        break
      } catch {
        await delay(AGAIN_MS, undefined, { ref: false })
      }
    }
    return this.#isWanted
  }

  /** Resolves when no client is connected any more. */
  async close(): Promise<void> {
    this.#isWanted = false
    await Promise.all(this.#servers.map(closeSocket))
  }

  async #addresses(): Promise<readonly string[]> {
    const { host } = this.#options
    if (host !== 'localhost') return [host]
    return (await lookup(host, { all: true })).map(({ address }) => address)
  }

  async #openMain(host: string | undefined): Promise<number> {
    const server = this.#serverAt(0)
    const port = await listen(server, { host, port: this.#options.port })
    if (this.#port === null || port === this.#port) return port
    void closeSocket(server)
    return listen(server, { host, port: this.#port })
  }

  #serverAt(index: number): Server {
    return (this.#servers[index] ??= this.#options.createServer())
  }
}

/**
 * Connections that the kernel holds until a worker takes them; it may allow fewer. Those beyond are lost, and their
 * clients try again after a second, the next time after three.
 */
const BACKLOG = 4_096
const AGAIN_MS = 500

async function listen(server: Server, options: ListenOptions): Promise<number> {
  if (!server.listening) {
    server.listen({ ...options, backlog: BACKLOG })
    await once(server, 'listening')
  }
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('it has no port')
  return address.port
}

/** Only the socket that listens: a client whose connection is open is told about the end by an answer, not by a reset. */
function closeSocket(server: Server): Promise<void> {
  return new Promise((resolve) => Server.prototype.close.call(server, () => resolve()))
}

import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { type ListenOptions, Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { holdListening } from '../plane/node-insides.ts'

export interface ListenerOptions {
  readonly host: string
  /** 0 for any: workers of a cluster get the same one, as long as one of them listens there. */
  readonly port: number
  /** Port on which workers of this gateway have listened before; it stays the same, whichever of them has died. */
  readonly boundPort: number | null
  /** For each address of the host. */
  readonly createServer: () => Server
}

/**
 * Accepts client connections of a worker. It can be held and opened again while clients are connected: those stay. The
 * listening sockets are shared with the other workers, so that no client is lost that has not been accepted yet; a
 * worker that holds them keeps the port open when the others die.
 */
export class Listener {
  readonly #options: ListenerOptions
  /** Bounded by the addresses of a host. */
  readonly #sockets: SharedSocket[] = []
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
    await Promise.allSettled(others.map((host, i) => this.#socketAt(i + 1).open({ host, port })))
    if (!this.#isWanted) void this.close()
    return port
  }

  /** Leaves new connections to the other workers, one of which must be open. */
  hold(): void {
    this.#isWanted = false
    for (const socket of this.#sockets) socket.hold()
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
    await Promise.all(this.#sockets.map((socket) => socket.close()))
  }

  async #addresses(): Promise<readonly string[]> {
    const { host } = this.#options
    if (host !== 'localhost') return [host]
    return (await lookup(host, { all: true })).map(({ address }) => address)
  }

  async #openMain(host: string | undefined): Promise<number> {
    const socket = this.#socketAt(0)
    const port = await socket.open({ host, port: this.#options.port })
    if (this.#port === null || port === this.#port) return port
    void socket.close()
    return socket.open({ host, port: this.#port })
  }

  #socketAt(index: number): SharedSocket {
    return (this.#sockets[index] ??= new SharedSocket(this.#options.createServer()))
  }
}

/**
 * Connections that the kernel holds until a worker takes them; it may allow fewer. Those beyond are lost, and their
 * clients try again after a second, the next time after three.
 */
const BACKLOG = 4_096
const AGAIN_MS = 500

/**
 * A server's socket, which workers share, and which this one may have without accepting from it.
 *
 * ```
 *   none ──open()──▶ asking ──its socket has come──▶ open ──hold()──▶ asking ──▶ held ──open()──▶ open
 * ```
 */
class SharedSocket {
  readonly #server: Server
  #state: 'none' | 'asking' | 'held' | 'open' = 'none'
  #wanted: 'open' | 'held' | 'closed' = 'closed'
  /** In the words by which workers find each other's socket. */
  #options: ListenOptions = {}
  #begin = (): void => {}

  constructor(server: Server) {
    this.#server = server
    // The caller that opens it gets the error. One that could not be held is opened when it is wanted.
    server.on('error', () => (this.#state = 'none')).on('listening', () => (this.#state = 'open'))
    holdListening(server, (begin) => {
      this.#begin = begin
      if (this.#wanted === 'open') return begin()
      this.#state = 'held'
      if (this.#wanted === 'closed') void this.close()
    })
  }

  /** Resolves with the port when it accepts. @throws what the system says */
  async open(options: ListenOptions): Promise<number> {
    this.#options = options
    this.#wanted = 'open'
    if (this.#state !== 'open') {
      const isOpen = once(this.#server, 'listening')
      if (this.#state === 'held') this.#begin()
      else if (this.#state === 'none') this.#ask()
      await isOpen
    }
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('it has no port')
    return address.port
  }

  /** Accepts nothing more; connections stay. */
  hold(): void {
    this.#wanted = 'held'
    if (this.#state !== 'open') return
    Server.prototype.close.call(this.#server)
    this.#ask()
  }

  /**
   * Resolves when no client is connected any more. Only the socket that listens is closed: a client whose connection is open
   * is told about the end by an answer, not by a reset.
   */
  close(): Promise<void> {
    this.#wanted = 'closed'
    if (this.#state !== 'asking') this.#state = 'none'
    return new Promise((resolve) => Server.prototype.close.call(this.#server, () => resolve()))
  }

  #ask(): void {
    this.#state = 'asking'
    this.#server.listen({ ...this.#options, backlog: BACKLOG })
  }
}

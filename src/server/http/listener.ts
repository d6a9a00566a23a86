import { lookup } from 'node:dns/promises'
import { once } from 'node:events'
import { type ListenOptions, Server } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { holdListening } from '../body/node-insides.ts'

export interface ListenerOptions {
  readonly host: string
  /** 0 for any; workers of a cluster get the same one while one of them listens. */
  readonly port: number
  /** The port that workers of this gateway had before, to keep it whichever of them died. */
  readonly boundPort: number | null
  readonly createServer: () => Server
}

/**
 * Workers share the listening sockets, so that no waiting client is lost; one that holds them keeps the
 * port when others die.
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

  /** @throws the system's error for the host's first address */
  async open(): Promise<number> {
    this.#isWanted = true
    const [main, ...others] = await this.#addresses()
    const port = await this.#openMain(main)
    this.#port = port
    // An address of another family may not exist.
    await Promise.allSettled(others.map((host, i) => this.#socketAt(i + 1).open({ host, port })))
    if (!this.#isWanted) void this.close()
    return port
  }

  /** Leaves new connections to other workers, one of which must be open. */
  hold(): void {
    this.#isWanted = false
    for (const socket of this.#sockets) socket.hold()
  }

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
 * Connections that the kernel holds until they are accepted. Others are lost; clients retry after one
 * second, then three.
 */
const BACKLOG = 4_096
const AGAIN_MS = 500

/**
 * A server's socket, which workers share, and which may be held without accepting.
 *
 *   none ──open()──▶ asking ──its socket has come──▶ open ──hold()──▶ asking ──▶ held ──open()──▶ open
 */
class SharedSocket {
  readonly #server: Server
  #state: 'none' | 'asking' | 'held' | 'open' = 'none'
  #wanted: 'open' | 'held' | 'closed' = 'closed'
  /** Workers find each other's socket by these. */
  #options: ListenOptions = {}
  #begin = (): void => {}

  constructor(server: Server) {
    this.#server = server
    // The caller that opens it gets the error. One that could not be held is opened when needed.
    server.on('error', () => (this.#state = 'none')).on('listening', () => (this.#state = 'open'))
    holdListening(server, (begin) => {
      this.#begin = begin
      if (this.#wanted === 'open') return begin()
      this.#state = 'held'
      if (this.#wanted === 'closed') void this.close()
    })
  }

  /** @throws the system's error */
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

  hold(): void {
    this.#wanted = 'held'
    if (this.#state !== 'open') return
    Server.prototype.close.call(this.#server)
    this.#ask()
  }

  /** Closes only the listening socket: connected clients learn of the end from an answer, not from a reset. */
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

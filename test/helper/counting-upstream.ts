import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { countAlive } from './alive-sockets.ts'
import type { SelfSignedCertificate } from './self-signed-certificate.ts'
import { serverUrl } from './server-url.ts'

interface Teardown {
  teardown(close: () => unknown): void
}

/** An upstream on loopback that counts its sockets at every accept, and answers as the test says. */
export class CountingUpstream {
  readonly url: URL
  /** Every socket so far, in the order of their coming. */
  readonly sockets: Socket[] = []
  /** Most sockets at once. */
  max = 0
  /** What `max` should not exceed; see `countAlive`. */
  ceiling = Infinity
  requests = 0
  /** Sockets whose TLS session was resumed. */
  resumed = 0
  /** Replaceable at any time. */
  onRequest: RequestListener
  readonly #open = new Set<Socket>()

  private constructor(server: Server, url: URL, onRequest: RequestListener) {
    this.url = url
    this.onRequest = onRequest
    server.on('connection', (socket) => this.#accept(socket))
    server.on('secureConnection', (socket: TLSSocket) => {
      if (socket.isSessionReused()) this.resumed += 1
    })
    server.on('request', (request, response) => {
      this.requests += 1
      this.onRequest(request, response)
    })
  }

  static async start(
    t: Teardown,
    onRequest: RequestListener = (_request, response) => response.end('ok'),
    certificate?: SelfSignedCertificate
  ): Promise<CountingUpstream> {
    const server: Server =
      certificate === undefined ? createServer() : createTlsServer({ ...certificate })
    server.keepAliveTimeout = 0
    const url = await serverUrl(server, certificate === undefined ? 'http' : 'https')
    const upstream = new CountingUpstream(server, url, onRequest)
    t.teardown(() => {
      server.close()
      for (const socket of upstream.#open) socket.destroy()
    })
    return upstream
  }

  get open(): number {
    return this.#open.size
  }

  /** Resolves when no socket is open any more. */
  async empty(): Promise<void> {
    const [socket] = this.#open
    if (socket === undefined) return
    await new Promise((resolve) => socket.once('close', resolve))
    await this.empty()
  }

  #accept(socket: Socket): void {
    this.sockets.push(socket)
    this.#open.add(socket)
    this.max = Math.max(this.max, countAlive(this.#open, Number(this.url.port), this.ceiling))
    socket.on('error', () => {}) // resets are part of many tests
    socket.once('close', () => this.#open.delete(socket))
  }
}

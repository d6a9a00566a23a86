import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { createSecureContext, type SecureContext, TLSSocket } from 'node:tls'

export interface ListenerOptions {
  /** PEM, each; `null` speaks plain TCP. */
  readonly certificate: { readonly key: string; readonly cert: string } | null
  /** Hears of each connection at its accept, before anything is read. */
  readonly onAccept: (transport: Socket) => void
  /** Hears of what will carry its requests, when that can begin: with TLS another socket. */
  readonly onCarrier: (carrier: Socket, transport: Socket) => void
}

/** Accepts the connections of the chaos upstream: with TLS or without, sometimes late, sometimes not at all. */
export class Listener {
  readonly #options: ListenerOptions
  readonly #server: Server
  readonly #context: SecureContext | null
  #acceptDelayMs = 0
  #port = 0
  #handshakes = 0
  #resumed = 0

  constructor(options: ListenerOptions) {
    const { certificate } = options
    this.#options = options
    this.#context = certificate === null ? null : createSecureContext(certificate)
    this.#server = createServer(
      { allowHalfOpen: true, noDelay: true, pauseOnConnect: true },
      (transport) => void this.#accept(transport) // cannot reject
    )
  }

  get port(): number {
    return this.#port
  }

  /** TLS handshakes that succeeded. */
  get handshakes(): number {
    return this.#handshakes
  }

  /** Those of them that resumed a session. */
  get resumed(): number {
    return this.#resumed
  }

  /** On a free port of loopback, and on the same one ever after. */
  listen(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const begin = (): void =>
      void this.#server.listen({ port: this.#port, host: '127.0.0.1', backlog: 1024 })
    // Between closing and opening again somebody's outgoing connection may have been given this port.
    const onError = (): void => void setTimeout(begin, 20)
    this.#server.on('error', onError)
    this.#server.once('listening', () => {
      this.#server.off('error', onError)
      this.#port = (this.#server.address() as AddressInfo).port
      resolve()
    })
    begin()
    return promise
  }

  /** Refuses connections for so long; those that are open stay. */
  async refuse(ms: number): Promise<void> {
    if (!this.#server.listening) return
    this.#server.close()
    await delay(ms)
    await this.listen()
  }

  /** For so long each connection waits before anything is read from it, a TLS handshake included. */
  async acceptSlowly(ms: number, delayMs: number): Promise<void> {
    this.#acceptDelayMs = delayMs
    await delay(ms)
    this.#acceptDelayMs = 0
  }

  async #accept(transport: Socket): Promise<void> {
    const { onAccept, onCarrier } = this.#options
    onAccept(transport)
    if (this.#acceptDelayMs > 0) await delay(this.#acceptDelayMs)
    if (this.#context === null || transport.destroyed) {
      onCarrier(transport, transport)
      transport.resume()
      return
    }
    const carrier = new TLSSocket(transport, {
      isServer: true,
      secureContext: this.#context,
      ALPNProtocols: ['http/1.1']
    })
    carrier.once('secure', () => {
      this.#handshakes += 1
      if (carrier.isSessionReused()) this.#resumed += 1
    })
    onCarrier(carrier, transport)
  }
}

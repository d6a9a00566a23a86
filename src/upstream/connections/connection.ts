import type { Socket } from 'node:net'
import { dropSocket } from '../socket.ts'
import {
  createEngine,
  type Engine,
  type EngineHandler,
  type EngineRequest,
  endEngine
} from './engine.ts'

/**
 * Nothing tells when the peer has noticed our reset, or our answer to a FIN of its own; this long its side is still
 * counted as open.
 */
export const NOTICE_GRACE_MS = 10

/** Why a connection was closed; the label of `kiro_gateway_upstream_connections_closed_total`. */
export type CloseReason =
  | 'expired'
  | 'excess_idle'
  | 'reclaimed'
  | 'peer_fin'
  | 'error'
  | 'abandoned'
  | 'server_close'

export interface ConnectionOptions {
  readonly origin: URL
  /** Connected, and owned by the connection from now on. */
  readonly socket: Socket
  /** The TCP socket underneath; the same without TLS. */
  readonly transport: Socket
  /** Called once, when the peer has let go of the socket too, as far as that can be known. */
  readonly onClosed: (connection: Connection, reason: CloseReason) => void
}

/**
 * Time for a peer to answer our FIN before it gets a reset. There is little time if a request waits for the permit; a
 * surplus connection may take a round trip around the world.
 */
const FIN_PATIENCE_MS: Readonly<Partial<Record<CloseReason, number>>> = {
  abandoned: 30,
  reclaimed: 30,
  server_close: 30,
  excess_idle: 80
}
const USUAL_FIN_PATIENCE_MS = 1000

/**
 * One socket to one origin and the HTTP/1.1 engine on top of it.
 *
 * ```
 *   idle ──dispatch──▶ busy ──answer complete──▶ idle
 *    └──close()──▶ closing ◀──abandon()──┘          any ──socket closes──▶ closed
 * ```
 * It counts as open until `onClosed`. We close with a FIN and wait for the peer's, since only that proves
 * that the upstream has stopped counting the connection; a peer that does not answer is reset.
 */
export class Connection {
  readonly origin: URL
  readonly socket: Socket
  /** Requests sent so far; more than one means the connection was reused. */
  requests = 0
  /** `performance.now()` of the moment it was connected. */
  readonly openedAt = performance.now()
  /** `performance.now()` of the moment it fell idle. */
  idleSince = 0
  #state: 'idle' | 'busy' | 'closing' | 'closed' = 'idle'
  #reason: CloseReason | null = null
  #sawPeerFin = false
  /** It was opened before it was needed. */
  isAhead = false
  /** It has sat idle: the peer may have closed it meanwhile. */
  hasRested = false
  /** Every request so far was answered to its end, and so read by the peer. */
  #isSettled = true
  /** The peer's FIN came after ours: it has let go. */
  #hasPeerLetGo = false
  /** Bytes that had been read when the last request was sent. */
  #bytesReadBefore = 0
  /** Closes on unexpected bytes, which would be taken for the first answer. */
  readonly #onEarlyBytes = (): void => {
    if (this.socket.readableLength > 0) this.reset('error')
  }
  readonly #transport: Socket
  readonly #engine: Engine
  readonly #onClosed: ConnectionOptions['onClosed']

  constructor({ origin, socket, transport, onClosed }: ConnectionOptions) {
    this.origin = origin
    this.socket = socket
    this.#transport = transport
    this.#onClosed = onClosed
    this.#engine = createEngine({
      origin,
      socket,
      transport,
      isUnused: () => this.#state === 'busy' && this.isUnanswered,
      isSettled: () => this.#isSettled,
      onLastAnswer: () => this.close('server_close')
    })
    socket.once('end', () => {
      this.#sawPeerFin = true
      this.#hasPeerLetGo = this.#state === 'closing'
      this.#reason ??= 'peer_fin'
      if (this.#state === 'idle') this.close('peer_fin')
    })
    socket.on('error', () => {
      this.#reason ??= 'error'
    })
    socket.once('close', () => this.#onSocketClose())
  }

  get isIdle(): boolean {
    if (this.isAhead && this.requests === 0 && this.socket.readableLength > 0) return false
    return this.#state === 'idle' && !this.socket.destroyed
  }

  /** Before its first request: it sits idle from now on. The engine does not look at the socket yet. */
  rest(): void {
    this.isAhead = true
    this.hasRested = true
    this.idleSince = performance.now()
    this.socket.on('readable', this.#onEarlyBytes)
  }

  /** The kernel may still read what was written: it was not all sent, and the socket is not gone. */
  get isSending(): boolean {
    const { closed, destroyed, writableLength } = this.socket
    return !closed && (destroyed || writableLength > 0)
  }

  /** Not a byte has come since the last request was sent: it may never have been seen. */
  get isUnanswered(): boolean {
    return this.socket.bytesRead === this.#bytesReadBefore
  }

  /**
   * Sends one request. The handler's last call is `onResponseEnd` or `onResponseError`, after which `settle()` or
   * `close()` is due.
   */
  dispatch(request: EngineRequest, handler: EngineHandler): void {
    if (this.#state !== 'idle') throw new Error(`dispatch on a connection that is ${this.#state}`)
    this.#state = 'busy'
    if (this.isAhead && this.requests === 0) this.socket.off('readable', this.#onEarlyBytes)
    this.requests += 1
    this.#isSettled = false
    this.#bytesReadBefore = this.socket.bytesRead
    this.#engine.dispatch(request, handler)
  }

  /** The answer is complete. True if the connection can carry another request. */
  settle(): boolean {
    if (this.#state !== 'busy') return false
    if (this.socket.destroyed || this.#sawPeerFin) {
      this.#state = 'closing'
      return false
    }
    // It was answered before all of it was sent. What is left would go before the next request, and is still being read from
    // memory that is freed once the request has been answered elsewhere: the connection has to be closed.
    if (this.isSending) return false
    this.#state = 'idle'
    this.#isSettled = true
    this.hasRested = true
    this.idleSince = performance.now()
    return true
  }

  /** Closes politely. What was in flight is lost to its caller: the rest of the answer is thrown away. */
  close(reason: CloseReason): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#state = 'closing'
    this.#reason ??= reason
    // Behind bytes that the peer does not take our FIN would never reach it.
    if (this.socket.writableLength > 0) {
      this.#isSettled = false // the next destroy drops it
      this.reset(reason)
      return
    }
    this.socket.end()
    const patienceMs = FIN_PATIENCE_MS[reason] ?? USUAL_FIN_PATIENCE_MS
    const timer = setTimeout(() => this.reset(reason), patienceMs)
    this.socket.once('close', () => clearTimeout(timer))
  }

  /** Closes at once, with a reset. */
  reset(reason: CloseReason): void {
    this.#reason ??= reason
    if (this.#state !== 'closed') this.#state = 'closing'
    // In the turn in which our FIN is sent a reset would fail, and the socket then never close. And a TLS socket may
    // tell its close at once, which the engine must not hear before the peer's FIN that is being told to it.
    if (this.socket.writableEnded || this.#sawPeerFin) setImmediate(() => this.#resetNow())
    else this.#resetNow()
  }

  #resetNow(): void {
    if (this.socket.destroyed) return
    dropSocket(this.#transport, this.socket)
    this.socket.destroy()
  }

  #onSocketClose(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    const reason = this.#reason ?? 'server_close'
    endEngine(this.#engine)
    if (this.#hasPeerLetGo) this.#onClosed(this, reason)
    else setTimeout(() => this.#onClosed(this, reason), NOTICE_GRACE_MS)
  }
}

import type { Socket } from 'node:net'
import { dropSocket } from '../socket.ts'
import {
  createEngine,
  type Engine,
  type EngineHandler,
  type EngineRequest,
  endEngine
} from './engine.ts'

/** Grace for the peer to notice our reset, or our answer to its FIN: nothing tells us. */
export const NOTICE_GRACE_MS = 10

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
  /** Connected; the connection takes ownership. */
  readonly socket: Socket
  /** The TCP socket below TLS, or `socket`. */
  readonly transport: Socket
  readonly onClosed: (connection: Connection, reason: CloseReason) => void
}

/** Time for a peer to answer our FIN: short if a request waits for the permit, else a round trip around the world. */
const FIN_PATIENCE_MS: Readonly<Partial<Record<CloseReason, number>>> = {
  abandoned: 30,
  reclaimed: 30,
  server_close: 30,
  excess_idle: 80
}
const USUAL_FIN_PATIENCE_MS = 1000

/**
 * One socket to one origin, and the HTTP/1.1 engine on it.
 *
 *   idle ──dispatch──▶ busy ──answer complete──▶ idle
 *    └──close()──▶ closing ◀──close()────┘          any ──socket closes──▶ closed
 *
 * It counts as open until `onClosed`. We close with a FIN and wait for the peer's, since only that proves
 * that the upstream has stopped counting the connection; a peer that does not answer is reset.
 */
export class Connection {
  readonly origin: URL
  readonly socket: Socket
  requests = 0
  /** `performance.now()` */
  readonly openedAt = performance.now()
  /** `performance.now()` */
  idleSince = 0
  #state: 'idle' | 'busy' | 'closing' | 'closed' = 'idle'
  #reason: CloseReason | null = null
  #sawPeerFin = false
  isAhead = false
  /** The peer may have closed it meanwhile. */
  hasRested = false
  /** Every request was answered whole, and so read by the peer. */
  #isSettled = true
  #hasPeerLetGo = false
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

  /** Watches a connection before its first request, as the engine does not yet. */
  rest(): void {
    this.isAhead = true
    this.hasRested = true
    this.idleSince = performance.now()
    this.socket.on('readable', this.#onEarlyBytes)
  }

  get isSending(): boolean {
    const { closed, destroyed, writableLength } = this.socket
    return !closed && (destroyed || writableLength > 0)
  }

  /** No byte has come since the last request, which may not have been seen. */
  get isUnanswered(): boolean {
    return this.socket.bytesRead === this.#bytesReadBefore
  }

  /** After `onResponseEnd` or `onResponseError`, the handler's last call, `settle()` or `close()` is due. */
  dispatch(request: EngineRequest, handler: EngineHandler): void {
    if (this.#state !== 'idle') throw new Error(`dispatch on a connection that is ${this.#state}`)
    this.#state = 'busy'
    if (this.isAhead && this.requests === 0) this.socket.off('readable', this.#onEarlyBytes)
    this.requests += 1
    this.#isSettled = false
    this.#bytesReadBefore = this.socket.bytesRead
    this.#engine.dispatch(request, handler)
  }

  settle(): boolean {
    if (this.#state !== 'busy') return false
    if (this.socket.destroyed || this.#sawPeerFin) {
      this.#state = 'closing'
      return false
    }
    // The unsent rest would precede the next request, and its memory is freed once this one is answered.
    if (this.isSending) return false
    this.#state = 'idle'
    this.#isSettled = true
    this.hasRested = true
    this.idleSince = performance.now()
    return true
  }

  /** Closes with a FIN; drops the rest of an answer. */
  close(reason: CloseReason): void {
    if (this.#state === 'closing' || this.#state === 'closed') return
    this.#state = 'closing'
    this.#reason ??= reason
    // Our FIN would never get past bytes that the peer does not take.
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

  /** Closes with a reset. */
  reset(reason: CloseReason): void {
    this.#reason ??= reason
    if (this.#state !== 'closed') this.#state = 'closing'
    // In the turn of our FIN a reset would fail, and the socket never close. TLS may report its close
    // before the peer's FIN.
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

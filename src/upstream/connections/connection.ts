import type { Socket } from 'node:net'
import type { Dispatcher } from 'undici'
import Client from 'undici/lib/dispatcher/client.js'
import { dropSocket } from '../socket.ts'

// Alone: the package's entry loads `fetch`, caches, mocks and web sockets as well, 12 MB in every process.

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
 * How long a peer may take to answer our FIN before it gets a reset. There is little time
 * where a request waits for the permit; a surplus connection may take a round trip around the world.
 */
const FIN_PATIENCE_MS: Readonly<Partial<Record<CloseReason, number>>> = {
  abandoned: 30,
  reclaimed: 30,
  server_close: 30,
  excess_idle: 80
}
const USUAL_FIN_PATIENCE_MS = 1000

/**
 * The engine asked for a second socket: the first has closed. Not with a code of undici's own: those of sockets count
 * as passing there, and it would ask again and again, for ever, without ever letting anything else run.
 */
class ConnectionGone extends Error {
  readonly code = 'ECONNRESET'
}

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
  /** Every request so far was answered to its end, and so read by the peer. */
  #isSettled = true
  /** The peer's FIN came after ours: it has let go. */
  #hasPeerLetGo = false
  /** Bytes that had been read when the last request was sent. */
  #bytesReadBefore = 0
  readonly #transport: Socket
  readonly #client: Dispatcher
  readonly #onClosed: ConnectionOptions['onClosed']

  constructor({ origin, socket, transport, onClosed }: ConnectionOptions) {
    this.origin = origin
    this.socket = socket
    this.#transport = transport
    this.#onClosed = onClosed
    let unused: Socket | null = socket
    this.#client = new Client(origin.origin, {
      pipelining: 1,
      allowH2: false,
      headersTimeout: 0, // the first token's deadline covers the headers
      keepAliveTimeout: 2 ** 31 - 1, // expiry is the pool's; a server's own hint still counts
      keepAliveMaxTimeout: 2 ** 31 - 1,
      connect: (_options, callback) => {
        const given = unused
        unused = null
        // Later, because the engine does not notice a socket that it gets while it is asking for one.
        queueMicrotask(() => {
          if (given === null || given.destroyed) callback(new ConnectionGone('closed'), null)
          else callback(null, given)
        })
      }
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
    socket.once('close', () => {
      muteEngine(socket)
      this.#onSocketClose()
    })
    // TLS says goodbye before the FINs, which a reset would overtake.
    dropOnDestroy(transport, socket, () => socket === transport || !this.#isSettled)
    takeOverEngineClose(socket, {
      isUnused: () => this.#state === 'busy' && this.isUnanswered,
      onLastAnswer: () => this.close('server_close'),
      isEnding: () => this.#isSettled && socket.writableEnded && !socket.writableFinished
    })
  }

  get isIdle(): boolean {
    return this.#state === 'idle' && !this.socket.destroyed
  }

  /** Not a byte has come since the last request was sent: it may never have been seen. */
  get isUnanswered(): boolean {
    return this.socket.bytesRead === this.#bytesReadBefore
  }

  /**
   * Sends one request. The handler's last call is `onResponseEnd` or `onResponseError`, after which `settle()` or
   * `close()` is due.
   */
  dispatch(request: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): void {
    if (this.#state !== 'idle') throw new Error(`dispatch on a connection that is ${this.#state}`)
    this.#state = 'busy'
    this.requests += 1
    this.#isSettled = false
    this.#bytesReadBefore = this.socket.bytesRead
    this.#client.dispatch(request, handler)
  }

  /** The answer is complete. True if the connection can carry another request. */
  settle(): boolean {
    if (this.#state !== 'busy') return false
    if (this.socket.destroyed || this.#sawPeerFin) {
      this.#state = 'closing'
      return false
    }
    this.#state = 'idle'
    this.#isSettled = true
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
    // In the turn in which our FIN is sent a reset would fail, and the socket then never close.
    if (this.socket.writableEnded) setImmediate(() => this.#resetNow())
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
    void this.#client.destroy(new ConnectionGone('closed')) // for what the engine has not begun to send
    if (this.#hasPeerLetGo) this.#onClosed(this, reason)
    else setTimeout(() => this.#onClosed(this, reason), NOTICE_GRACE_MS)
  }
}

export interface CloseRules {
  /**
   * Whether a request was given to the engine that it has not sent: it finds only then that the connection has been
   * idle for longer than its server allows, where the event loop was late, and would write to a socket that was ended.
   */
  readonly isUnused: () => boolean
  /** The server has said that it will not use the connection again: closes the socket, without haste. */
  readonly onLastAnswer: () => void
  /** Whether our answer to the peer's FIN is on its way: then the socket is destroyed after that. */
  readonly isEnding: () => boolean
}

/**
 * Decides how a socket ends that belongs to the engine, which destroys it too early: when its server will not use it
 * again, before the server's FIN is there, and when that is there, before ours has gone. After `onLastAnswer` the socket
 * is read on, since a FIN behind unread bytes is never seen.
 */
export function takeOverEngineClose(socket: Socket, rules: CloseRules): void {
  const destroy = socket.destroy.bind(socket)
  socket.destroy = (error) => {
    const code = codeOf(error)
    if (code === LAST_ANSWER && !rules.isUnused()) {
      rules.onLastAnswer()
      socket.removeAllListeners('readable').on('data', () => {}) // the engine reads no more
      return socket
    }
    return code === PEER_CLOSED && rules.isEnding() ? socket : destroy(error)
  }
}

/**
 * Keeps from the engine what its socket tells after the close: it has let go of its parser by then, and an end or an
 * error would end the process. A busy machine has shown such an end of a TLS socket that was being destroyed. Must be
 * called before the engine hears of the close.
 */
function muteEngine(socket: Socket): void {
  for (const event of ['end', 'error']) socket.removeAllListeners(event)
  socket.on('error', () => {})
}

/**
 * Makes every destroy() of a TCP socket drop it, where that is wanted by then. What the kernel has not sent yet would
 * keep the connection open behind our back; after both FINs a reset goes out only where there is such a rest.
 *
 * Below TLS it has to be this socket and not the one above: that would tell its close before its error, which the
 * engine does not survive.
 */
export function dropOnDestroy(transport: Socket, top: Socket, isWanted: () => boolean): void {
  const destroy = transport.destroy.bind(transport)
  let isGoing = false
  let reason: Error | undefined
  transport.destroy = (error) => {
    if (!isGoing) {
      isGoing = true
      reason = error
      if (isWanted()) dropSocket(transport, top) // which may come back here
    }
    return destroy(reason)
  }
}

/** What the engine destroys a socket with. */
const LAST_ANSWER = 'UND_ERR_INFO'
const PEER_CLOSED = 'UND_ERR_SOCKET'

function codeOf(error: Error | undefined): unknown {
  return error !== undefined && 'code' in error ? error.code : undefined
}

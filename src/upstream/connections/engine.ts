import type { Socket } from 'node:net'
import type { Dispatcher } from 'undici'
import Client from 'undici/lib/dispatcher/client.js'
import { codeOf } from '../../shared/errors.ts'
import { dropSocket } from '../socket.ts'

/**
 * The HTTP/1.1 engine of one connection, and all that this program relies on of undici's insides. The tests of this
 * folder prove it on real sockets; a new version of undici is checked here.
 */
export type Engine = Pick<Dispatcher, 'dispatch' | 'destroy'>
export type EngineRequest = Dispatcher.DispatchOptions
/** Its last call is `onResponseEnd` or `onResponseError`. */
export type EngineHandler = Dispatcher.DispatchHandler
/** Pauses and resumes the reading of an answer. */
export type EngineFlow = Dispatcher.DispatchController

export interface EngineOptions {
  readonly origin: URL
  /** Socket that carries the requests; its end is decided here from now on. */
  readonly socket: Socket
  /** The TCP socket underneath; the same without TLS. */
  readonly transport: Socket
  /**
   * True if a request was given to the engine that it has not sent: it finds only then that the connection has been
   * idle for longer than its server allows, if the event loop was late, and would write to a socket that was ended.
   */
  readonly isUnused: () => boolean
  /** Every request so far was answered to its end, and so read by the peer. */
  readonly isSettled: () => boolean
  /** The server has said that it will not use the connection again: closes the socket, without haste. */
  readonly onLastAnswer: () => void
}

// `Client` alone: the package's entry loads `fetch`, caches, mocks and web sockets as well, 12 MB in every process.
export function createEngine({ origin, socket, transport, ...rules }: EngineOptions): Engine {
  // Registered before the engine's own listener.
  socket.once('close', () => mute(socket))
  // TLS says goodbye before the FINs, which a reset would overtake.
  dropOnDestroy(transport, socket, () => socket === transport || !rules.isSettled())
  takeOverClose(socket, rules)
  let unused: Socket | null = socket
  return new Client(origin.origin, {
    pipelining: 1,
    allowH2: false,
    headersTimeout: 0, // the first token's deadline covers the headers
    // Ours, since the engine would end the connection with a FIN that a silent peer may never hear.
    bodyTimeout: 0,
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
}

/** The socket has closed: fails what the engine has not begun to send. */
export function endEngine(engine: Engine): void {
  void engine.destroy(new ConnectionGone('closed'))
}

/** Runs when the engine is through with a message that has just ended: only then it knows whether the connection lives on. */
export function afterMessage(run: () => void): void {
  queueMicrotask(run)
}

/** Runs in a task of its own: the engine must not be entered again from inside its error handler. */
export function outsideEngine(run: () => void): void {
  setImmediate(run)
}

/** True if a connection was closed by its peer, with or without a reset. */
export function isPeerClose(cause: unknown): boolean {
  return [PEER_CLOSED, 'ECONNRESET', 'EPIPE'].includes(codeOf(cause))
}

/**
 * The engine asked for a second socket: the first has closed. Not with a code of undici's own: those of sockets count
 * as passing there, and it would ask again for ever, without letting anything else run.
 */
class ConnectionGone extends Error {
  readonly code = 'ECONNRESET'
}

/** The codes of errors with which the engine destroys a socket. */
const LAST_ANSWER = 'UND_ERR_INFO'
const PEER_CLOSED = 'UND_ERR_SOCKET'

/**
 * Decides how a socket ends that belongs to the engine, which destroys it too early: when its server will not use it
 * again, before the server's FIN is there, and when that is there, before ours has gone. After `onLastAnswer` the socket
 * is read on, since a FIN behind unread bytes is never seen.
 */
function takeOverClose(
  socket: Socket,
  { isUnused, isSettled, onLastAnswer }: Omit<EngineOptions, 'origin' | 'socket' | 'transport'>
): void {
  const destroy = socket.destroy.bind(socket)
  socket.destroy = (error) => {
    const code = codeOf(error)
    if (code === LAST_ANSWER && !isUnused()) {
      onLastAnswer()
      socket.removeAllListeners('readable').on('data', () => {}) // the engine reads no more
      return socket
    }
    const isFinOnItsWay = isSettled() && socket.writableEnded && !socket.writableFinished
    return code === PEER_CLOSED && isFinOnItsWay ? socket : destroy(error)
  }
}

/**
 * Keeps from the engine what its socket tells after the close: it has let go of its parser by then, and an end or an
 * error would end the process. A busy machine has shown such an end of a TLS socket that was being destroyed.
 */
function mute(socket: Socket): void {
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
function dropOnDestroy(transport: Socket, top: Socket, isWanted: () => boolean): void {
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

import type { Socket } from 'node:net'
import type { Dispatcher } from 'undici'
import Client from 'undici/lib/dispatcher/client.js'
import { codeOf } from '../../shared/errors.ts'
import { dropSocket } from '../socket.ts'

/** Everything that depends on undici's insides. The tests of this folder prove it: run them for a new version. */
export type Engine = Pick<Dispatcher, 'dispatch' | 'destroy'>
export type EngineRequest = Dispatcher.DispatchOptions
export type EngineHandler = Dispatcher.DispatchHandler
export type EngineFlow = Dispatcher.DispatchController

export interface EngineOptions {
  readonly origin: URL
  /** Socket whose end is decided here, not by the engine. */
  readonly socket: Socket
  readonly transport: Socket
  /**
   * True for a request that was not sent: a late event loop finds only then that the connection idled too
   * long, and would write to an ended socket.
   */
  readonly isUnused: () => boolean
  /** Every request was answered whole, and so read by the peer. */
  readonly isSettled: () => boolean
  /** The server will not reuse the connection: close the socket, without haste. */
  readonly onLastAnswer: () => void
}

// `Client` alone: undici's entry also loads `fetch`, caches, mocks and web sockets, 12 MB in every process.
export function createEngine({ origin, socket, transport, ...rules }: EngineOptions): Engine {
  // Must precede the engine's own listener.
  socket.once('close', () => mute(socket))
  dropOnDestroy(transport, socket, () => {
    if (socket === transport || !rules.isSettled()) return true
    // A reset would overtake TLS's goodbye before the FINs. After both goodbyes it tells a proxy that has not
    // heard the peer's FIN, and would go on counting the connection.
    return socket.readableEnded && socket.writableFinished
  })
  takeOverClose(socket, rules)
  let unused: Socket | null = socket
  return new Client(origin.origin, {
    pipelining: 1,
    allowH2: false,
    headersTimeout: 0, // the first token's deadline covers the headers
    // Ours, since the engine would send a FIN, which a silent peer may never hear.
    bodyTimeout: 0,
    keepAliveTimeout: 2 ** 31 - 1, // expiry is the pool's; a server's own hint still counts
    keepAliveMaxTimeout: 2 ** 31 - 1,
    connect: (_options, callback) => {
      const given = unused
      unused = null
      // Later, because the engine does not notice a socket while it asks for one.
      queueMicrotask(() => {
        if (given === null || given.destroyed) callback(new ConnectionGone('closed'), null)
        else callback(null, given)
      })
    }
  })
}

export function endEngine(engine: Engine): void {
  void engine.destroy(new ConnectionGone('closed'))
}

export function isPeerClose(cause: unknown): boolean {
  return [PEER_CLOSED, 'ECONNRESET', 'EPIPE'].includes(codeOf(cause))
}

/**
 * Refuses a second socket, as the first has closed. Has no code of undici's, after which the engine would
 * ask again for ever without yielding.
 */
class ConnectionGone extends Error {
  readonly code = 'ECONNRESET'
}

const LAST_ANSWER = 'UND_ERR_INFO'
const PEER_CLOSED = 'UND_ERR_SOCKET'

/**
 * The engine destroys a socket too early: before the server's FIN if the server will not reuse it, and
 * before ours has gone. Reads on after `onLastAnswer`, since a FIN behind unread bytes is never seen.
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
 * Hides what a socket reports after its close: the engine has no parser then, and the process would end.
 * Seen on a busy machine with a TLS socket that was being destroyed.
 */
function mute(socket: Socket): void {
  for (const event of ['end', 'error']) socket.removeAllListeners(event)
  socket.on('error', () => {})
}

/**
 * Drops a TCP socket when destroyed, if `isWanted()`: unsent bytes in the kernel would keep the connection
 * open unnoticed.
 * It has to be the socket below TLS: the one above would report its close before its error, which the
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

import type { Socket } from 'node:net'
import { dropSocket } from './drop-socket.ts'

export interface CloseRules {
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
    if (code === LAST_ANSWER) {
      rules.onLastAnswer()
      socket.removeAllListeners('readable').on('data', () => {}) // the engine reads no more
      return socket
    }
    return code === PEER_CLOSED && rules.isEnding() ? socket : destroy(error)
  }
}

/**
 * Makes everybody who destroys a TCP socket drop it, where that is wanted by then. What the kernel has not sent yet would
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

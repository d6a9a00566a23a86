import type { Socket } from 'node:net'

export interface CloseRules {
  /** The server has said that it will not use the connection again: closes the socket, without haste. */
  readonly onLastAnswer: () => void
  /** Whether our answer to the peer's FIN is on its way: then the socket is destroyed after that. */
  readonly isEnding: () => boolean
  /** Called once before the socket is destroyed, by whomever. */
  readonly onDestroy: () => void
}

/**
 * Decides how a socket ends that belongs to the engine, which destroys it too early: when its server will not use it
 * again, before the server's FIN is there, and when that is there, before ours has gone. After `onLastAnswer` the socket
 * is read on, since a FIN behind unread bytes is never seen.
 */
export function takeOverEngineClose(socket: Socket, rules: CloseRules): void {
  const destroy = socket.destroy.bind(socket)
  let isGoing = false
  let reason: Error | undefined
  socket.destroy = (error) => {
    const code = codeOf(error)
    if (code === LAST_ANSWER) {
      rules.onLastAnswer()
      socket.removeAllListeners('readable').on('data', () => {}) // the engine reads no more
      return socket
    }
    if (code === PEER_CLOSED && rules.isEnding()) return socket
    if (!isGoing) {
      isGoing = true
      reason = error
      rules.onDestroy() // which may come back here
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

import type { Socket } from 'node:net'

/**
 * The engine destroys a socket that its server will not use again, before the server's FIN is there. Calls `onClose`
 * instead, whose part it is to close the socket, and goes on reading, since a FIN behind unread bytes is never seen.
 */
export function takeOverEngineClose(socket: Socket, onClose: () => void): void {
  const destroy = socket.destroy.bind(socket)
  socket.destroy = (error) => {
    if (error === undefined || !isOrderly(error)) return destroy(error)
    onClose()
    socket.removeAllListeners('readable').on('data', () => {}) // the engine reads no more
    return socket
  }
}

function isOrderly(error: Error): boolean {
  return 'code' in error && error.code === 'UND_ERR_INFO'
}

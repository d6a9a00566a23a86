import type { Socket } from 'node:net'

/**
 * Closes a TCP socket now, with a reset where that is possible: a peer that is busy would not hear of a FIN.
 *
 * libuv refuses to reset a socket whose own FIN is still on its way out (UV_EINVAL of `uv_tcp_close_reset`), and Node
 * then takes it for closed while the connection stays open for ever. Such a socket is closed as it is.
 */
export function dropSocket(socket: Socket): void {
  const isShuttingDown = socket.writableEnded && !socket.writableFinished
  if (socket.connecting || socket.destroyed || isShuttingDown) socket.destroy()
  else socket.resetAndDestroy()
}

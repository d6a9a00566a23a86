import type { Socket } from 'node:net'

/**
 * Closes a TCP socket now, with a reset where that is possible: a peer that is busy would not hear of a FIN.
 *
 * libuv refuses to reset a socket whose own FIN is still on its way out (UV_EINVAL of `uv_tcp_close_reset`), and Node
 * then takes it for closed while the connection stays open for ever. Such a socket is closed as it is.
 *
 * `top` is the socket through which it is used: TLS sends the FIN itself, and the socket below knows nothing of it.
 */
export function dropSocket(socket: Socket, top: Socket = socket): void {
  const isShuttingDown = [socket, top].some((one) => one.writableEnded && !one.writableFinished)
  if (socket.connecting || socket.destroyed || isShuttingDown) socket.destroy()
  else socket.resetAndDestroy()
}

import type { Socket } from 'node:net'

/** A socket that was closed before it could carry a request. */
export class ClosedWhileConnecting extends Error {
  readonly code = 'ECONNRESET'

  constructor() {
    super('closed while connecting')
  }
}

interface StepEnds {
  readonly done: () => void
  readonly fail: (cause: unknown) => void
  /** The peer has left. */
  readonly onGone: () => void
}

/**
 * One step on the way to a connection: it fails with the socket's error, its close and the signal's reason. `begin`
 * starts the step and returns what takes its listeners away.
 */
export async function socketStep(
  socket: Socket,
  signal: AbortSignal,
  begin: (ends: StepEnds) => () => void
): Promise<void> {
  const { promise, resolve: done, reject: fail } = Promise.withResolvers<void>()
  const onGone = (): void => fail(new ClosedWhileConnecting())
  const onAbort = (): void => fail(signal.reason)
  if (signal.aborted) onAbort()
  if (socket.destroyed) onGone()
  socket.once('error', fail).once('close', onGone)
  signal.addEventListener('abort', onAbort, { once: true })
  const stop = begin({ done, fail, onGone })
  try {
    await promise
  } finally {
    stop()
    socket.off('error', fail).off('close', onGone)
    signal.removeEventListener('abort', onAbort)
  }
}

/** Waits for an event that says that the socket is ready. */
export function socketEvent(
  socket: Socket,
  event: 'connect' | 'secureConnect',
  signal: AbortSignal
): Promise<void> {
  return socketStep(socket, signal, ({ done }) => {
    socket.once(event, done)
    return () => void socket.off(event, done)
  })
}

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

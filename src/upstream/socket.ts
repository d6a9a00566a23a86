import type { Socket } from 'node:net'

export class ClosedWhileConnecting extends Error {
  readonly code = 'ECONNRESET'

  constructor() {
    super('closed while connecting')
  }
}

interface StepEnds {
  readonly done: () => void
  readonly fail: (cause: unknown) => void
  readonly onGone: () => void
}

/** Fails with the socket's error, its close or the signal's reason. `begin` returns what removes its listeners. */
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
 * Resets a TCP socket: a busy peer would not hear a FIN.
 * libuv refuses that while the socket's FIN is on its way (UV_EINVAL of `uv_tcp_close_reset`), and Node
 * then thinks it closed while it stays open for ever; such a socket is closed normally. `top`: the socket
 * in use, as TLS sends the FIN.
 */
export function dropSocket(socket: Socket, top: Socket = socket): void {
  const isShuttingDown = [socket, top].some((one) => one.writableEnded && !one.writableFinished)
  if (socket.connecting || socket.destroyed || isShuttingDown) socket.destroy()
  else socket.resetAndDestroy()
}

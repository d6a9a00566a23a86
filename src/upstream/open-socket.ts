import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'

export interface OpenSocketOptions {
  readonly origin: URL
  readonly timeoutMs: number
  /** Where TLS sessions are kept, so that a new handshake can resume. Owned by the pool. */
  readonly tlsSessions: Map<string, Buffer>
  /** CA certificates in PEM, instead of the system's; for tests and private endpoints. */
  readonly ca?: string
}

/** A connection attempt that can be given up. */
export interface SocketAttempt {
  /** What carries the requests: the TLS socket where there is TLS. */
  readonly socket: Socket
  /** The TCP socket underneath, the same without TLS: a TLS socket can't be reset. */
  readonly transport: Socket
  /** Resolves when the socket can carry a request (TLS included); rejects with the raw cause. */
  readonly ready: Promise<void>
  /** Ends it now. What is connected is reset: a peer that is busy would not hear of a FIN, and count on. */
  giveUp(error?: Error): void
}

/** Fails a connection attempt in the words of undici, so that one classifier serves both. */
export class ConnectTimeout extends Error {
  readonly code = 'UND_ERR_CONNECT_TIMEOUT'
}

/**
 * Opens a TCP or TLS connection to one origin. The sockets are opened here and not by undici, because the
 * budget has to know each of them from its first packet to its last, and because undici holds TLS sessions
 * weakly: with one `Client` for each connection no handshake was ever resumed (0 of 40; 40 of 40 here).
 */
export function openSocket(options: OpenSocketOptions): SocketAttempt {
  const { origin, timeoutMs } = options
  const isTls = origin.protocol === 'https:'
  const transport = connectTcp({ host: hostOf(origin), port: portOf(origin, isTls ? 443 : 80) })
  transport.setNoDelay(true)
  transport.setKeepAlive(true, 60_000)
  const socket = isTls ? wrapInTls(transport, options) : transport
  const end = (): void => {
    if (!transport.connecting && !transport.destroyed) transport.resetAndDestroy()
    socket.destroy()
  }
  const giveUp = (error?: Error): void => {
    if (error !== undefined) fail(error)
    socket.on('error', () => {}) // what the reset makes of the handshake is no news
    // The peer may have accepted already, and the news of it be on its way: it comes with the next turn.
    if (transport.connecting) setImmediate(() => setImmediate(end))
    else end()
  }
  const { promise: ready, resolve, reject: fail } = Promise.withResolvers<void>()
  const timer = setTimeout(() => {
    giveUp(new ConnectTimeout(`no connection within ${timeoutMs} ms`))
  }, timeoutMs)
  const settle = (): void => {
    clearTimeout(timer)
    socket.off('error', onError)
    socket.off('close', onClose)
  }
  const onError = (error: Error): void => {
    settle()
    fail(error)
  }
  const onClose = (): void => {
    settle()
    fail(Object.assign(new Error('closed while connecting'), { code: 'ECONNRESET' }))
  }
  socket.once('error', onError)
  socket.once('close', onClose)
  socket.once(isTls ? 'secureConnect' : 'connect', () => {
    settle()
    resolve()
  })
  return { socket, transport, ready, giveUp }
}

function wrapInTls(transport: Socket, { origin, tlsSessions, ca }: OpenSocketOptions): TLSSocket {
  const host = hostOf(origin)
  const session = tlsSessions.get(origin.host)
  const socket = connectTls({
    socket: transport,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(host) === 0 ? { servername: host } : { host }),
    ...(session === undefined ? {} : { session }),
    ...(ca === undefined ? {} : { ca })
  })
  socket.on('session', (next) => tlsSessions.set(origin.host, next))
  transport.on('error', (error) => socket.destroy(error))
  transport.once('close', () => socket.destroy())
  return socket
}

/** URL keeps the brackets of an IPv6 address; sockets do not want them. */
function hostOf(origin: URL): string {
  const { hostname } = origin
  return hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
}

function portOf(origin: URL, fallback: number): number {
  return origin.port === '' ? fallback : Number(origin.port)
}

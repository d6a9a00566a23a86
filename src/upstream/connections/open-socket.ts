import { connect as connectTcp, isIP, type LookupFunction, type Socket } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { callbackify } from 'node:util'
import type { HostAddress } from '../names/name-lookup.ts'
import { askForTunnel, shakeHands } from '../proxy/handshake.ts'
import { toProxyFailure } from '../proxy/proxy-failure.ts'
import { type Address, addressOf, type Proxy } from '../proxy/proxy.ts'
import { askSocks5 } from '../proxy/socks5.ts'
import { ClosedWhileConnecting, dropSocket, socketEvent } from '../socket.ts'

export interface OpenSocketOptions {
  readonly origin: URL
  readonly proxy: Proxy | null
  /** At least one address; rejects when the signal aborts. */
  readonly resolveHost: (host: string, signal: AbortSignal) => Promise<readonly HostAddress[]>
  readonly timeoutMs: number
  /** TLS sessions to resume, owned by the pool. */
  readonly tlsSessions: Map<string, Buffer>
  readonly ca?: string
}

export interface SocketAttempt {
  /** The TCP socket: a TLS socket cannot be reset. */
  readonly transport: Socket
  /** Resolves with the TLS socket or `transport`. Rejects with the raw cause, or our error if the proxy failed. */
  readonly ready: Promise<Socket>
  /** Resets what is connected: a busy peer would not hear a FIN, and count on. */
  giveUp(error?: Error): void
}

export class ConnectTimeout extends Error {
  readonly code = 'UND_ERR_CONNECT_TIMEOUT'
}

/**
 * Finds a vanished path (VPN down, NAT entry expired) ten seconds after this silence instead of at the
 * answer's timeout.
 */
const PROBE_AFTER_MS = 15_000

/**
 * Opens a connection to one origin, through a proxy or not:
 *
 *   TCP ──▶ (TLS with the proxy ──▶) (handshake with the proxy ──▶) (TLS with the origin)
 *
 * Not left to undici, because the budget has to know each socket from its first packet to its last, and because undici
 * holds TLS sessions weakly: with a `Client` per connection no handshake was ever resumed (0 of 40; 40 of 40 here).
 */
export function openSocket(options: OpenSocketOptions): SocketAttempt {
  const { origin, proxy, timeoutMs, resolveHost } = options
  const { host, port } = proxy ?? addressOf(origin)
  const abort = new AbortController()
  const transport = connectTcp({ host, port, lookup: toLookup(resolveHost, abort.signal) })
  transport.setNoDelay(true)
  transport.setKeepAlive(true, PROBE_AFTER_MS)
  transport.on('error', () => {}) // between two steps there is no other listener
  let reason: Error | null = null
  const end = (): void => {
    dropSocket(transport)
    abort.abort(reason)
  }
  const giveUp = (error: Error = new ClosedWhileConnecting()): void => {
    reason ??= error
    // The peer may have accepted already; that arrives in the next turn.
    if (transport.connecting) setImmediate(() => setImmediate(end))
    else end()
  }
  const timer = setTimeout(() => {
    giveUp(new ConnectTimeout(`no connection within ${timeoutMs} ms`))
  }, timeoutMs)
  const ready = buildUp(transport, options, abort.signal)
    .then((socket) => {
      if (reason !== null) throw reason // while the last step was taken
      return socket
    })
    .finally(() => clearTimeout(timer))
  return { transport, ready, giveUp }
}

function toLookup(
  resolveHost: OpenSocketOptions['resolveHost'],
  signal: AbortSignal
): LookupFunction {
  const resolve = callbackify((host: string) => resolveHost(host, signal))
  return (host, { all }, callback) => {
    resolve(host, (error, addresses) => {
      const [first] = addresses ?? []
      if (error !== null || first === undefined) callback(error, '')
      else if (all === true) callback(null, [...addresses])
      else callback(null, first.address, first.family)
    })
  }
}

async function buildUp(
  transport: Socket,
  options: OpenSocketOptions,
  signal: AbortSignal
): Promise<Socket> {
  const { origin, proxy } = options
  let socket = transport
  if (proxy === null) await socketEvent(transport, 'connect', signal)
  else socket = await goThrough(proxy, transport, { ...options, signal })
  if (origin.protocol !== 'https:') return socket
  const target = addressOf(origin)
  return secure(socket, { ...options, signal, target, sessionKey: origin.host })
}

async function goThrough(
  proxy: Proxy,
  transport: Socket,
  options: OpenSocketOptions & { readonly signal: AbortSignal }
): Promise<Socket> {
  const { origin, signal } = options
  const target = addressOf(origin)
  try {
    await socketEvent(transport, 'connect', signal)
    const socket =
      proxy.protocol === 'https:'
        ? await secure(transport, { ...options, target: proxy, sessionKey: proxy.name })
        : transport
    const ask = proxy.protocol === 'socks5:' ? askSocks5 : askForTunnel
    await shakeHands(socket, ask(target, proxy.credentials), signal)
    return socket
  } catch (cause) {
    throw toProxyFailure(cause, { proxy, target })
  }
}

interface TlsOptions extends Pick<OpenSocketOptions, 'tlsSessions' | 'ca'> {
  readonly target: Address
  readonly sessionKey: string
  readonly signal: AbortSignal
}

async function secure(below: Socket, options: TlsOptions): Promise<TLSSocket> {
  const { target, sessionKey, tlsSessions, ca, signal } = options
  if (below.destroyed) throw new ClosedWhileConnecting()
  const session = tlsSessions.get(sessionKey)
  const socket = connectTls({
    socket: below,
    ALPNProtocols: ['http/1.1'],
    ...(isIP(target.host) === 0 ? { servername: target.host } : { host: target.host }),
    ...(session === undefined ? {} : { session }),
    ...(ca === undefined ? {} : { ca })
  })
  socket.on('error', () => {}) // as for the transport
  socket.on('session', (next) => tlsSessions.set(sessionKey, next))
  below.on('error', (error) => socket.destroy(error))
  below.once('close', () => socket.destroy())
  await socketEvent(socket, 'secureConnect', signal)
  return socket
}

import { isIP } from 'node:net'
import type { Redis } from 'ioredis'

/** A call that takes longer may still take effect: its caller must expect both. */
export const COMMAND_TIMEOUT_MS = 1_000
/** A server silent for this long is left for a new connection. */
const SOCKET_TIMEOUT_MS = 2_000
const CONNECT_TIMEOUT_MS = 1_000
const BACK_OFF = { firstMs: 50, longestMs: 1_000 } as const

/** Options that keep ioredis from hanging, queueing without a bound, or resending. */
export function clientOptions(url: string, connectionName: string) {
  const { protocol, hostname, port, username, password, pathname } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const isSecure = protocol === 'rediss:' || protocol === 'valkeys:'
  const db = Number(pathname.slice(1))
  return {
    host: host === '' ? '127.0.0.1' : host,
    port: port === '' ? 6379 : Number(port),
    ...(username !== '' && { username: decodeURIComponent(username) }),
    ...(password !== '' && { password: decodeURIComponent(password) }),
    ...(Number.isInteger(db) && { db }),
    ...(isSecure && { tls: isIP(host) === 0 ? { servername: host } : {} }), // Node 26 refuses an address there
    connectionName,
    protocol: 2 as const,
    lazyConnect: true,
    enableReadyCheck: false,
    disableClientInfo: true,
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    autoResubscribe: false, // its failure would go unheard, which ends a process
    maxRetriesPerRequest: 0,
    commandTimeout: COMMAND_TIMEOUT_MS,
    socketTimeout: SOCKET_TIMEOUT_MS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    keepAlive: 10_000,
    retryStrategy: (times: number) => {
      const longest = Math.min(BACK_OFF.longestMs, BACK_OFF.firstMs * 2 ** Math.min(times, 10))
      return BACK_OFF.firstMs + Math.random() * (longest - BACK_OFF.firstMs)
    }
  }
}

/** Twice the longest reply of our scripts, and far more than any news. */
const MAX_REPLY_BYTES = 2 * 1024 * 1024

/** Drops a connection whose reply is longer than any of ours: the client would keep all of it, three times over. */
export function boundReplies(client: Redis): void {
  let bytes = 0
  const onWhole = (): void => {
    bytes = 0
  }
  const send = client.sendCommand.bind(client)
  client.sendCommand = (command, ...rest) => {
    const answer = send(command, ...rest)
    command.promise.then(onWhole, onWhole)
    return answer
  }
  client.on('message', onWhole).on('connect', () => {
    bytes = 0
    const { stream } = client
    stream.prependListener('data', (chunk: Buffer) => {
      bytes += chunk.byteLength
      if (bytes > MAX_REPLY_BYTES) stream.destroy(new Error('more has come than a fleet says'))
    })
  })
}

export function countCommands(client: Redis, counts: { commands: number; failures: number }): void {
  const send = client.sendCommand.bind(client)
  client.sendCommand = (command, ...rest) => {
    counts.commands += 1
    const answer = send(command, ...rest)
    command.promise.catch(() => {
      counts.failures += 1
    })
    return answer
  }
}

export function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}

/** Converts a script's hash: field, value, field, value … */
export function pairsOf(value: unknown): Readonly<Record<string, string>> {
  const list = listOf(value)
  const pairs: Record<string, string> = {}
  for (let at = 0; at + 1 < list.length; at += 2) pairs[String(list[at])] = String(list[at + 1])
  return pairs
}

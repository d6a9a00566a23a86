import type { Socket } from 'node:net'
import { readSocketTables, readSocketTablesNow, socketsIn } from '../../shared/socket-table.ts'

/** Bytes that the system still holds for sockets. */
export interface UnsentBytes {
  /** Bytes by `portPairOf()` the socket; `null` where the system does not tell. */
  readonly byPorts: ReadonlyMap<string, number> | null
  /** Time of the event loop that it took. */
  readonly tookMs: number
}

/** An IPv4 address, in IPv6 or not. */
const IPV4 = /(?:^|:)(\d+\.[\d.]+)$/

/** Names a socket by its ports and, where that is IPv4, the client's address: clients behind two addresses may have one port. */
export function portPairOf({
  localPort,
  remotePort,
  remoteAddress = ''
}: Pick<Socket, 'localPort' | 'remotePort' | 'remoteAddress'>): string {
  return `${localPort} ${remotePort} ${IPV4.exec(remoteAddress)?.[1] ?? ''}`
}

/**
 * Reads how much of what was written to sockets is still with the system: megabytes for a client that does not read, and only
 * there shows that it does not. Counts the most of several sockets with the same `portPairOf()`. Another thread reads the
 * table, for 10 ms and more, as the system goes through all sockets that there are; it is parsed on the event loop. Never rejects.
 */
export async function readUnsentBytes(): Promise<UnsentBytes> {
  const tables = await readSocketTables()
  return unsentIn(tables, performance.now())
}

/** Like readUnsentBytes(), all of it on the event loop. */
export function readUnsentBytesNow(): UnsentBytes {
  const begunAt = performance.now()
  return unsentIn(readSocketTablesNow(), begunAt)
}

function unsentIn(tables: string | null, begunAt: number): UnsentBytes {
  const byPorts = tables === null ? null : unsentByPorts(tables)
  return { byPorts, tookMs: performance.now() - begunAt }
}

function unsentByPorts(tables: string): ReadonlyMap<string, number> {
  const unsent = new Map<string, number>()
  for (const socket of socketsIn(tables, 'unsent')) {
    const ports = portPairOf(socket)
    unsent.set(ports, Math.max(socket.unsentBytes, unsent.get(ports) ?? 0))
  }
  return unsent
}

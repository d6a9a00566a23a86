import type { Socket } from 'node:net'
import { readSocketTables, readSocketTablesNow, socketsIn } from '../../shared/socket-table.ts'

export interface UnsentBytes {
  /** Keyed by `portPairOf()`; `null` if the system does not tell. */
  readonly byPorts: ReadonlyMap<string, number> | null
  /** Time of the event loop that it took. */
  readonly tookMs: number
}

const IPV4 = /(?:^|:)(\d+\.[\d.]+)$/

/** Names a socket by ports and, for IPv4, the client's address: clients at two addresses may use one port. */
export function portPairOf({
  localPort,
  remotePort,
  remoteAddress = ''
}: Pick<Socket, 'localPort' | 'remotePort' | 'remoteAddress'>): string {
  return `${localPort} ${remotePort} ${IPV4.exec(remoteAddress)?.[1] ?? ''}`
}

/**
 * Finds clients that do not read, which shows nowhere else. Of sockets with one `portPairOf()` the largest
 * counts. A thread reads the table for 10 ms and more, as the system goes through all sockets. Never
 * rejects.
 */
export async function readUnsentBytes(): Promise<UnsentBytes> {
  const tables = await readSocketTables()
  return unsentIn(tables, performance.now())
}

/** Like readUnsentBytes(), but wholly on the event loop. */
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

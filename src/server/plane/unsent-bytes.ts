import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'

/** Bytes that the system still holds for sockets. */
export interface UnsentBytes {
  /** Bytes by `portPairOf()` the socket; `null` where the system does not tell. */
  readonly byPorts: ReadonlyMap<string, number> | null
  /** Time of the event loop that it took. */
  readonly tookMs: number
}

const TABLES = ['/proc/net/tcp', '/proc/net/tcp6']

/** A line of /proc/net/tcp where something waits to be sent: addresses and ports in hexadecimal, the state, and how much it is. */
const SOCKET_LINE =
  /^ *\d+: [0-9A-F]+:([0-9A-F]{4}) (?:0{16}FFFF0{4})?([0-9A-F]+):([0-9A-F]{4}) [0-9A-F]{2} (?!0{8})([0-9A-F]{8}):/gm
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
 * table, for 10 ms and more, as the system goes through all sockets that there are; it is parsed on the event loop, 57 ms
 * for 200,000 sockets. Never rejects.
 */
export async function readUnsentBytes(): Promise<UnsentBytes> {
  const texts = await Promise.all(TABLES.map((path) => readFile(path, 'latin1').catch(() => null)))
  return unsentIn(texts, performance.now())
}

/** Like readUnsentBytes(), all of it on the event loop. */
export function readUnsentBytesNow(): UnsentBytes {
  const begunAt = performance.now()
  const texts = TABLES.map((path) => {
    try {
      return readFileSync(path, 'latin1')
    } catch {
      return null
    }
  })
  return unsentIn(texts, begunAt)
}

function unsentIn(texts: readonly (string | null)[], begunAt: number): UnsentBytes {
  const tables = texts.filter((text) => text !== null)
  const byPorts = tables.length === 0 ? null : unsentByPorts(tables)
  return { byPorts, tookMs: performance.now() - begunAt }
}

function unsentByPorts(tables: readonly string[]): ReadonlyMap<string, number> {
  const unsent = new Map<string, number>()
  for (const text of tables) {
    for (const [, local = '', address = '', remote = '', bytes = ''] of text.matchAll(
      SOCKET_LINE
    )) {
      const count = Number.parseInt(bytes, 16)
      const ports = portPairOf({
        localPort: Number.parseInt(local, 16),
        remotePort: Number.parseInt(remote, 16),
        remoteAddress: ipv4Of(address)
      })
      unsent.set(ports, Math.max(count, unsent.get(ports) ?? 0))
    }
  }
  return unsent
}

/** Reads an address of the table, whose bytes are the last first; '' for one of IPv6. */
function ipv4Of(hex: string): string {
  if (hex.length !== 8) return ''
  return Buffer.from(hex, 'hex').toReversed().join('.')
}

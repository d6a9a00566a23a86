import { readFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import type { Socket } from 'node:net'

/** Bytes that the system still holds for a socket, by `portPairOf()` it. */
export type UnsentBytes = ReadonlyMap<string, number>

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
 * there shows that it does not. Counts the most of several sockets with the same `portPairOf()`. Empty where there is no such
 * table. Takes 10 ms and more of another thread, as the system goes through all sockets that there are. Never rejects.
 */
export async function readUnsentBytes(): Promise<UnsentBytes> {
  return unsentIn(await Promise.all(TABLES.map((path) => readFile(path, 'latin1').catch(() => ''))))
}

/** Like readUnsentBytes(), on the event loop. */
export function readUnsentBytesNow(): UnsentBytes {
  return unsentIn(
    TABLES.map((path) => {
      try {
        return readFileSync(path, 'latin1')
      } catch {
        return ''
      }
    })
  )
}

function unsentIn(tables: readonly string[]): UnsentBytes {
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

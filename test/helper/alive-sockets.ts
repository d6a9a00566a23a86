import type { Socket } from 'node:net'
import { alivePeers } from '../chaos/kernel-view.ts'

/**
 * How many of a server's sockets are open. A busy process hears late of those that ended: more than `ceiling` are
 * looked up in the kernel's table.
 */
export function countAlive(sockets: Iterable<Socket>, port: number, ceiling: number): number {
  // Of those that the server has closed itself some have not said so yet.
  const alive = [...sockets].filter(({ destroyed }) => !destroyed)
  if (alive.length <= ceiling) return alive.length
  const peers = alivePeers(port)
  return alive.filter(({ remotePort }) => peers.has(remotePort ?? 0)).length
}

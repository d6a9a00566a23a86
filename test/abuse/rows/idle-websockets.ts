import { setTimeout as delay } from 'node:timers/promises'
import { ProcessTree } from '../../bench/process-tree.ts'
import { answerPings, heldOf, openMany, openRaw } from '../raw-web-socket.ts'
import type { AbuseRow } from '../row.ts'

const Count = 1_000
/** A client that does not answer is gone after a hundred seconds. */
const Minutes = 1.8

/** As many as the gateway takes by default stay open as long as their clients live. */
export const row: AbuseRow = {
  name: 'idle-websockets',
  what: `${Count} WebSockets that only answer heartbeats, for ${Minutes} minutes`,
  settings: { WEBSOCKET_MAX_CONNECTIONS: String(Count) },
  async attack(stand) {
    const { gateway, port } = stand
    const tree = new ProcessTree(gateway.child.pid ?? 0)
    const before = tree.pssMb()
    const sockets = await openMany(Count, () => openRaw(stand))
    for (const socket of sockets) answerPings(socket)
    await delay(5_000)
    const eachKb = ((tree.pssMb() - before) * 1024) / Count
    await delay(Minutes * 60_000)
    const laterKb = ((tree.pssMb() - before) * 1024) / Count
    const lost = sockets.filter((socket) => socket.destroyed || socket.readableEnded).length
    const held = heldOf(sockets, port)
    for (const socket of sockets) socket.destroy()
    if (lost > 0 || held < Count) throw new Error(`${lost} were closed, ${held} are held`)
    return `none was dropped; each took ${eachKb.toFixed(0)} KB, in the end ${laterKb.toFixed(0)} KB`
  }
}

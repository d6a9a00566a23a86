import { setTimeout as delay } from 'node:timers/promises'
import { heldFor } from '../../chaos/kernel-view.ts'
import { frameOf, heldOf, Opcode, openMany, openRaw } from '../raw-web-socket.ts'
import type { AbuseRow } from '../row.ts'

const Count = 200
const StallS = 3
const Words = 4_000

/** An answer that its client does not read stops the upstream, and ends in time. */
export const row: AbuseRow = {
  name: 'unread-websockets',
  what: `${Count} WebSockets that ask for an answer of ${Words} events, ping on, and read nothing`,
  settings: { CLIENT_STALL_TIMEOUT: String(StallS) },
  async attack(stand) {
    const { port } = stand
    const sockets = await openMany(Count, () => openRaw(stand))
    for (const [index, socket] of sockets.entries()) {
      const input = `sim:events=${Words} sim:gap=0 number ${index}`
      const asked = JSON.stringify({ type: 'response.create', model: 'auto', input })
      socket.write(frameOf({ opcode: Opcode.text, payload: Buffer.from(asked) }))
    }
    const pings = setInterval(() => {
      for (const socket of sockets) {
        if (socket.writable) socket.write(frameOf({ opcode: Opcode.ping }))
      }
    }, 200)
    await delay(2_000)
    const mostMb = heldFor(port).reduce((sum, { unsentBytes }) => sum + unsentBytes, 0) / 2 ** 20
    await delay((StallS + 20) * 1000)
    clearInterval(pings)
    const left = heldFor(port).filter(({ unsentBytes }) => unsentBytes > 1).length
    const open = heldOf(sockets, port)
    for (const socket of sockets) socket.destroy()
    if (left > 0) throw new Error(`${left} answers were still held for clients that do not read`)
    return `${mostMb.toFixed(1)} MB were unsent; no answer was held in the end, ${open} connections were left`
  }
}

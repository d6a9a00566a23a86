import { setTimeout as delay } from 'node:timers/promises'
import { frameOf, heldOf, Opcode, openMany, openRaw } from '../raw-web-socket.ts'
import type { AbuseRow } from '../row.ts'

const Each = 200
/** Four heartbeats, and a moment to close. */
const PatienceS = 4 * 25 + 10
const BodyTimeoutS = 5

/** A connection whose client is gone, or says no more, ends in time and holds nothing of others. */
export const row: AbuseRow = {
  name: 'half-open-websockets',
  what: `${Each} WebSockets each that fall silent, send a FIN, and leave a message of 1 MB half sent`,
  settings: { BODY_TIMEOUT: String(BodyTimeoutS), CLIENT_STALL_TIMEOUT: '10' },
  async attack(stand) {
    const { port } = stand
    const sockets = await openMany(3 * Each, () => openRaw(stand, { allowHalfOpen: true }))
    const half = frameOf({
      opcode: Opcode.text,
      toldBytes: 1_000_000n,
      payload: Buffer.alloc(500_000, ' ')
    })
    for (const [index, socket] of sockets.entries()) {
      const kind = index % 3
      if (kind === 1) socket.end()
      if (kind === 2) socket.write(half)
      if (index % 50 === 0) await delay(50)
    }
    await delay(PatienceS * 1000)
    const left = heldOf(sockets, port)
    for (const socket of sockets) socket.destroy()
    if (left > 0) throw new Error(`${left} of ${sockets.length} connections were left`)
    return `none of ${sockets.length} connections was left`
  }
}

import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { frameOf, Opcode, openMany, openRaw } from '../raw-web-socket.ts'
import type { AbuseRow } from '../row.ts'

const Each = 50
const Frames = 200_000
const Writes = 20

const ping = frameOf({ opcode: Opcode.ping })
const byte = frameOf({ opcode: Opcode.continuation, payload: Buffer.from(' '), isOpen: true })
const first = frameOf({ opcode: Opcode.text, payload: Buffer.from('{'), isOpen: true })

/** Frames that carry nothing cost their reader more than their sender. */
export const row: AbuseRow = {
  name: 'tiny-frames',
  what: `${Each} WebSockets each that send ${Frames} pings, or a message in ${Frames} fragments of a byte`,
  async attack(stand) {
    const sockets = await openMany(2 * Each, () => openRaw(stand))
    await Promise.all(sockets.map((socket, index) => flood(socket, index % 2 === 0 ? ping : byte)))
    await delay(3_000)
    const left = sockets.filter((socket) => !socket.destroyed).length
    for (const socket of sockets) socket.destroy()
    if (left > 0) throw new Error(`${left} connections were left`)
    return `each of ${sockets.length} connections was ended`
  }
}

async function flood(socket: Socket, frame: Buffer): Promise<void> {
  socket.resume()
  if (frame === byte) socket.write(first)
  const frames = Buffer.concat(Array.from({ length: Frames / Writes }, () => frame))
  for (let write = 0; write < Writes && socket.writable; write++) {
    socket.write(frames)
    await delay(20)
  }
}

import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { AbuseRow } from '../row.ts'

const Connections = 14_000
const HeaderBytes = 14_000
/** So that the kernel's queue of connections takes all of them. */
const AtOnce = 200

/** Headers that are never completed must not pile up, whoever holds how many connections open. */
export const row: AbuseRow = {
  name: 'half-headers',
  what: `${Connections} connections without a key, each with ${HeaderBytes} bytes of a header that does not end`,
  async attack({ host, port }) {
    const text = `GET /health HTTP/1.1\r\nhost: localhost\r\nx: ${'y'.repeat(HeaderBytes)}`
    const sockets: Socket[] = []
    let ended = 0
    for (let i = 0; i < Connections; i++) {
      const socket = connect({ host, port })
      socket.on('error', () => {}).once('close', () => ended++)
      socket.resume().write(text)
      sockets.push(socket)
      if (i % AtOnce === 0) await delay(20)
    }
    await delay(5_000)
    const open = Connections - ended
    for (const socket of sockets) socket.destroy()
    if (open > 4_000) throw new Error(`${open} connections were left open`)
    return `${open} connections were left open`
  }
}

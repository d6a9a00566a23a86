import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { AbuseRow } from '../row.ts'

const Connections = 50
const Requests = 20_000

/** Answers that nobody reads must not pile up in a worker, however many are asked for in one go. */
export const row: AbuseRow = {
  name: 'pipelined-health',
  what: `${Connections} connections × ${Requests} pipelined GET /health without a key, answers unread`,
  async attack({ host, port }) {
    const text = 'GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(Requests)
    const sockets = Array.from({ length: Connections }, () => {
      const socket = connect({ host, port })
      socket.on('error', () => {}) // it may be cut off
      socket.pause()
      socket.write(text)
      return socket
    })
    await delay(10_000)
    const ended = sockets.filter((socket) => socket.destroyed).length
    for (const socket of sockets) socket.destroy()
    return `${ended} connections were ended`
  }
}

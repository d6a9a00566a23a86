import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { heldFor } from '../../chaos/kernel-view.ts'
import type { AbuseRow } from '../row.ts'

const Connections = 1_000
const Rounds = 10
const AtOnce = 25
const StallS = 3

/** Answers that nobody reads must leave neither sockets nor what the kernel keeps for them, on any route. */
export const row: AbuseRow = {
  name: 'unread-answers',
  what: `${Connections} connections that ask on and read nothing: models with a key, health, refusals`,
  settings: { CLIENT_STALL_TIMEOUT: String(StallS) },
  async attack({ host, port, key }) {
    const head = `host: localhost\r\n`
    const texts = [
      `GET /v1/models HTTP/1.1\r\n${head}x-api-key: ${key}\r\n\r\n`,
      `GET /health HTTP/1.1\r\n${head}\r\n`,
      `GET /v1/models HTTP/1.1\r\n${head}\r\n`,
      `GET /v1/models HTTP/1.1\r\n${head}x-api-key: ${key}\r\nconnection: close\r\n\r\n`
    ]
    const sockets: Socket[] = []
    for (let i = 0; i < Connections; i++) {
      const socket = connect({ host, port }).on('error', () => {})
      socket.pause()
      sockets.push(socket)
      if (i % 100 === 0) await delay(10)
    }
    for (let round = 0; round < Rounds; round++) {
      for (const [i, socket] of sockets.entries()) {
        if (socket.writable) socket.write(texts[i % 4] ?? '')
        if (i % AtOnce === 0) await delay(20) // it is about what is unread, not about how much is asked for
      }
    }
    const mostMb = heldFor(port).reduce((sum, { unsentBytes }) => sum + unsentBytes, 0) / 2 ** 20
    await delay((StallS + 7) * 1000) // and a last answer has 5 s to be read
    const left = heldFor(port).filter(({ unsentBytes }) => unsentBytes > 1).length
    for (const socket of sockets) socket.destroy()
    if (left > 0) throw new Error(`${left} answers were still held for clients that do not read`)
    return `${mostMb.toFixed(1)} MB were unsent; no answer was held in the end`
  }
}

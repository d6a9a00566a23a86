import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import { deflateRawSync } from 'node:zlib'
import { frameOf, heldOf, Opcode, openMany, openRaw } from '../raw-web-socket.ts'
import type { AbuseRow } from '../row.ts'

const Each = 100
const Mebibyte = 1024 * 1024

/** Bytes that are no message, or one that must not be read to its end. */
const Broken: Readonly<Record<string, () => Buffer>> = {
  'random bytes': () => randomBytes(64 * 1024),
  'a frame of 8 exabytes': () =>
    frameOf({ opcode: Opcode.text, toldBytes: 2n ** 63n - 1n, payload: Buffer.alloc(Mebibyte) }),
  'a frame of 100 MB': () =>
    frameOf({ opcode: Opcode.text, toldBytes: 100_000_000n, payload: Buffer.alloc(Mebibyte) }),
  'a bomb that is compressed': () =>
    frameOf({
      opcode: Opcode.text,
      isCompressed: true,
      payload: deflateRawSync(Buffer.alloc(64 * Mebibyte))
    }),
  'a ping of 64 KB': () => frameOf({ opcode: Opcode.ping, payload: Buffer.alloc(64 * 1024) }),
  'text that is no UTF-8': () => frameOf({ opcode: Opcode.text, payload: Buffer.alloc(999, 0xff) }),
  'messages that are no request': () =>
    Buffer.concat(
      Array.from({ length: 100 }, () =>
        frameOf({ opcode: Opcode.text, payload: Buffer.from('[]') })
      )
    )
}

/** A client that breaks the protocol loses its connection, and nobody else anything. */
export const row: AbuseRow = {
  name: 'broken-websockets',
  what: `${Each} WebSockets each that send ${Object.keys(Broken).join(', ')}`,
  async attack(stand) {
    const texts = Object.values(Broken).map((make) => make())
    for (const text of texts) {
      const sockets = await openMany(Each, () => openRaw(stand))
      for (const socket of sockets) socket.resume().write(text)
      await Promise.all(sockets.map(ended))
      await delay(200)
      const left = heldOf(sockets, stand.port)
      for (const socket of sockets) socket.destroy()
      if (left > 0) throw new Error(`${left} connections were left`)
    }
    return `each of ${texts.length * Each} connections was ended`
  }
}

const PatienceMs = 15_000

async function ended(socket: Socket): Promise<void> {
  if (socket.destroyed) return
  const gone = once(socket, 'close').catch(() => {}) // a reset ends it, too
  await Promise.race([gone, delay(PatienceMs, undefined, { ref: false })])
}

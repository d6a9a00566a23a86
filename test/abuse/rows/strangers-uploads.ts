import { connect } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { AbuseRow } from '../row.ts'

const Connections = 40
const PhaseMs = 6_000
const Head =
  'POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n'
/** What a connection sends again and again. */
const Pieces = {
  'of 16 KB': `4000\r\n${'x'.repeat(16_384)}\r\n`,
  'of 17 bytes': `11\r\n${'x'.repeat(17)}\r\n`.repeat(2_500),
  'of a byte': '1\r\nx\r\n'.repeat(10_000)
}

/** What nobody with a key wants read must not be read as fast as it comes. */
export const row: AbuseRow = {
  name: 'strangers-uploads',
  what: `${Connections} uploads without a key that never end, in chunks of 16 KB, then of 17 bytes, then of a byte, again and again`,
  async attack({ host, port }) {
    const seen: string[] = []
    for (const [name, text] of Object.entries(Pieces)) {
      const upload = new Uploads({ host, port }, Buffer.from(text))
      const all = Array.from({ length: Connections }, () => upload.run())
      await delay(PhaseMs)
      upload.isOver = true
      await Promise.all(all)
      const { connections, bytes, told } = upload
      seen.push(`${name}: ${connections} uploads of ${(bytes / 1e6).toFixed(0)} MB, ${told} told`)
      if (told < Connections) throw new Error(seen.join('; '))
    }
    return seen.join('; ')
  }
}

class Uploads {
  readonly #address: { readonly host: string; readonly port: number }
  readonly #piece: Buffer
  isOver = false
  connections = 0
  bytes = 0
  /** Connections on which an answer came. */
  told = 0

  constructor(address: { readonly host: string; readonly port: number }, piece: Buffer) {
    this.#address = address
    this.#piece = piece
  }

  async run(): Promise<void> {
    while (!this.isOver) await this.#upload()
  }

  #upload(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const socket = connect(this.#address)
    const send = (): void => {
      while (!socket.destroyed && socket.writable) {
        this.bytes += this.#piece.byteLength
        if (!socket.write(this.#piece)) return
      }
    }
    const watch = setInterval(() => {
      if (this.isOver) socket.destroy()
    }, 50)
    socket.once('connect', () => {
      this.connections += 1
      socket.write(Head)
      send()
    })
    socket.once('data', () => (this.told += 1))
    socket.on('drain', send).on('error', () => {})
    socket.once('end', () => socket.destroy())
    socket.once('close', () => {
      clearInterval(watch)
      resolve()
    })
    return promise
  }
}

import { once } from 'node:events'
import { connect, type Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  readonly body: string
}

const HEAD_END = '\r\n\r\n'

/** A client's connection on which every byte, and when it is sent, is the test's choice. */
export class RawConnection {
  readonly socket: Socket
  #unread = Buffer.alloc(0)
  #changed = Promise.withResolvers<void>()
  #hasEnded = false

  private constructor(socket: Socket) {
    this.socket = socket
    const change = (): void => {
      this.#changed.resolve()
      this.#changed = Promise.withResolvers()
    }
    socket.on('data', (chunk: Buffer) => {
      this.#unread = Buffer.concat([this.#unread, chunk])
      change()
    })
    socket.on('error', () => {}) // 'close' follows
    socket.once('close', () => {
      this.#hasEnded = true
      change()
    })
  }

  static async open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port), noDelay: true })
    await once(socket, 'connect')
    return new RawConnection(socket)
  }

  /** Resolves when the system has taken all of it, or the connection is gone. */
  async send(bytes: string | Uint8Array): Promise<void> {
    if (this.socket.destroyed) return
    await new Promise<void>((resolve) => this.socket.write(bytes, () => resolve()))
  }

  /** The next answer, read to its end. @throws where the connection ends before that */
  async answer(): Promise<RawAnswer> {
    const head = (await this.#until((bytes) => endBehind(bytes, HEAD_END))).toString('latin1')
    const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1])
    if (status < 200) return this.answer()
    const length = /^content-length: (\d+)\r$/im.exec(head)?.[1]
    if (length !== undefined) {
      const body = await this.#until((bytes) => Number(length) <= bytes.length && Number(length))
      return { status, body: body.toString() }
    }
    return { status, body: Buffer.concat(await this.#chunks()).toString() }
  }

  /** What has come, and was not read as an answer. */
  get rest(): string {
    return this.#unread.toString()
  }

  close(): void {
    this.socket.destroy()
  }

  async #chunks(): Promise<readonly Buffer[]> {
    const chunks: Buffer[] = []
    for (;;) {
      const size = Number.parseInt(
        (await this.#until((bytes) => endBehind(bytes, '\r\n'))).toString(),
        16
      )
      const chunk = await this.#until((bytes) => size + 2 <= bytes.length && size + 2)
      if (size === 0) return chunks
      chunks.push(chunk.subarray(0, size))
    }
  }

  /** Takes as many bytes as `end` says, once it does. */
  async #until(end: (bytes: Buffer) => number | false): Promise<Buffer> {
    for (;;) {
      const at = end(this.#unread)
      if (at !== false) {
        const taken = this.#unread.subarray(0, at)
        this.#unread = this.#unread.subarray(at)
        return taken
      }
      if (this.#hasEnded)
        throw new Error(`the connection ended: ${this.#unread.toString().slice(0, 300)}`)
      await this.#changed.promise
    }
  }
}

function endBehind(bytes: Buffer, mark: string): number | false {
  const at = bytes.indexOf(mark)
  return at !== -1 && at + mark.length
}

/** The bytes of a request before its body. */
export function headOf(path: string, headers: Readonly<Record<string, string | number>>): string {
  const lines = Object.entries({ host: 'localhost', ...headers }).map(
    ([name, value]) => `${name}: ${value}`
  )
  return [`POST ${path} HTTP/1.1`, ...lines].join('\r\n') + HEAD_END
}

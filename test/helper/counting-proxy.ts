import { connect, createServer, type Server, type Socket } from 'node:net'
import { createSecureContext, TLSSocket } from 'node:tls'
import { countAlive } from './alive-sockets.ts'
import type { SelfSignedCertificate } from './self-signed-certificate.ts'
import { serverUrl } from './server-url.ts'

export type ProxyKind = 'http' | 'https' | 'socks5'

export interface ProxyRules {
  /** `user:password` that it wants. */
  readonly credentials?: string
  /** For https. */
  readonly certificate?: SelfSignedCertificate
  /** Sends what it has to say itself one byte at a time. */
  readonly isDribbling?: boolean
}

interface Teardown {
  teardown(close: () => unknown): void
}

/** A proxy on loopback to which every name means loopback. It counts its clients' sockets at every accept. */
export class CountingProxy {
  /** With credentials, if it wants any. */
  readonly url: string
  readonly port: number
  readonly sockets: Socket[] = []
  /** Most clients' sockets at once. */
  max = 0
  /** What `max` should not exceed; see `countAlive`. */
  ceiling = Infinity
  /** `host:port` of each connection that it was asked for. */
  readonly targets: string[] = []
  readonly #rules: ProxyRules
  readonly #open = new Set<Socket>()

  private constructor(server: Server, kind: ProxyKind, port: number, rules: ProxyRules) {
    const { credentials } = rules
    this.#rules = rules
    this.port = port
    this.url = `${kind}://${credentials === undefined ? '' : `${credentials}@`}127.0.0.1:${port}`
    const secureContext = createSecureContext(rules.certificate)
    server.on('connection', (socket: Socket) => {
      this.#accept(socket)
      const client =
        kind === 'https' ? new TLSSocket(socket, { isServer: true, secureContext }) : socket
      client.on('error', () => socket.destroy()).once('close', () => socket.destroy())
      const reader = new ByteReader(client)
      const served = kind === 'socks5' ? this.#serveSocks(reader) : this.#serveHttp(reader)
      served.catch(() => client.destroy())
    })
  }

  static async start(t: Teardown, kind: ProxyKind, rules: ProxyRules = {}): Promise<CountingProxy> {
    const server = createServer({ allowHalfOpen: true })
    const url = await serverUrl(server)
    const proxy = new CountingProxy(server, kind, Number(url.port), rules)
    t.teardown(() => {
      server.close()
      for (const socket of proxy.#open) socket.destroy()
    })
    return proxy
  }

  get open(): number {
    return this.#open.size
  }

  /** Resolves when no client's socket is open any more. */
  async empty(): Promise<void> {
    const [socket] = this.#open
    if (socket === undefined) return
    await new Promise((resolve) => socket.once('close', resolve))
    await this.empty()
  }

  #accept(socket: Socket): void {
    this.sockets.push(socket)
    this.#open.add(socket)
    this.max = Math.max(this.max, countAlive(this.#open, this.port, this.ceiling))
    socket.on('error', () => {}) // resets are part of many tests
    socket.once('close', () => this.#open.delete(socket))
  }

  async #serveHttp(reader: ByteReader): Promise<void> {
    const head = await reader.until('\r\n\r\n')
    const [, authority = '', host = '', port = ''] = /^CONNECT ((.+):(\d+)) HTTP/.exec(head) ?? []
    this.targets.push(authority)
    const [, basic = ''] = /proxy-authorization: Basic (\S+)/i.exec(head) ?? []
    const { credentials } = this.#rules
    if (credentials !== undefined && Buffer.from(basic, 'base64').toString() !== credentials) {
      reader.socket.end('HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n')
      return
    }
    if (host === 'forbidden.test') {
      reader.socket.end('HTTP/1.1 403 Forbidden\r\n\r\nno')
      return
    }
    const server = await dial(Number(port))
    await this.#say(
      reader.socket,
      Buffer.from('HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n')
    )
    join(reader, server)
  }

  async #serveSocks(reader: ByteReader): Promise<void> {
    const { socket } = reader
    const [, count = 0] = await reader.take(2)
    const offered = await reader.take(count)
    const method = this.#rules.credentials === undefined ? 0 : 2
    await this.#say(socket, Buffer.from([5, offered.includes(method) ? method : 255]))
    if (method === 2 && !(await this.#isKnown(reader))) {
      socket.end(Buffer.from([1, 1]))
      return
    }
    if (method === 2) await this.#say(socket, Buffer.from([1, 0]))
    const [, , , type = 0] = await reader.take(4)
    const host = await readHost(reader, type)
    const port = (await reader.take(2)).readUInt16BE()
    this.targets.push(`${host}:${port}`)
    if (host === 'forbidden.test') {
      socket.end(Buffer.from([5, 2, 0, 1, 0, 0, 0, 0, 0, 0]))
      return
    }
    const server = await dial(port)
    await this.#say(socket, Buffer.from([5, 0, 0, 3, 2, 120, 121, 0, 80]))
    join(reader, server)
  }

  async #isKnown(reader: ByteReader): Promise<boolean> {
    const [, userLength = 0] = await reader.take(2)
    const user = String(await reader.take(userLength))
    const [passwordLength = 0] = await reader.take(1)
    const password = String(await reader.take(passwordLength))
    return `${user}:${password}` === this.#rules.credentials
  }

  async #say(socket: Socket, bytes: Buffer): Promise<void> {
    const size = this.#rules.isDribbling === true ? 1 : bytes.length
    socket.setNoDelay(true)
    for (let at = 0; at < bytes.length; at += size) {
      await new Promise((resolve) => socket.write(bytes.subarray(at, at + size), resolve))
    }
  }
}

async function readHost(reader: ByteReader, type: number): Promise<string> {
  if (type === 1) return (await reader.take(4)).join('.')
  if (type === 4) return (await reader.take(16)).toString('hex')
  const [length = 0] = await reader.take(1)
  return (await reader.take(length)).toString()
}

function dial(port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port, allowHalfOpen: true })
    socket.setNoDelay(true)
    socket.once('connect', () => resolve(socket)).on('error', reject)
  })
}

/** Passes on bytes, FINs and the end. */
function join({ socket: client, rest }: ByteReader, server: Socket): void {
  if (rest.length > 0) server.write(rest)
  client.removeAllListeners('data')
  client.pipe(server)
  server.pipe(client)
  client.once('close', () => server.destroy())
  server.once('close', () => client.destroy())
}

class ByteReader {
  readonly socket: Socket
  rest: Buffer = Buffer.alloc(0)
  #onBytes: () => void = () => {}
  #isOver = false

  constructor(socket: Socket) {
    this.socket = socket
    const end = (): void => {
      this.#isOver = true
      this.#onBytes()
    }
    socket.once('end', end).once('close', end)
    socket.on('data', (chunk: Buffer) => {
      this.rest = Buffer.concat([this.rest, chunk])
      this.#onBytes()
    })
  }

  async take(count: number): Promise<Buffer> {
    await this.#have(() => this.rest.length >= count)
    const taken = this.rest.subarray(0, count)
    this.rest = this.rest.subarray(count)
    return taken
  }

  async until(mark: string): Promise<string> {
    await this.#have(() => this.rest.includes(mark))
    return (await this.take(this.rest.indexOf(mark) + mark.length)).toString()
  }

  async #have(isEnough: () => boolean): Promise<void> {
    while (!isEnough()) {
      if (this.#isOver) throw new Error('the client has left')
      await new Promise<void>((resolve) => {
        this.#onBytes = resolve
      })
    }
  }
}

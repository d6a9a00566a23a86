import type { Socket } from 'node:net'
import { socketStep } from '../socket.ts'
import { type Address, type ProxyCredentials, toAuthority } from './proxy.ts'

export type HandshakeStep =
  | { readonly name: 'more' }
  | { readonly name: 'send'; readonly bytes: Buffer }
  | { readonly name: 'open'; readonly rest: Buffer }

/** Asks a proxy for a connection. Pure: bytes in, steps out, however the bytes are cut. */
export interface ProxyHandshake {
  readonly greeting: Buffer
  /** @throws {ProxyRefusal} */
  feed(chunk: Buffer): HandshakeStep
}

export type RefusalKind =
  | 'credentials-missing'
  | 'credentials-refused'
  | 'denied'
  | 'unreachable'
  | 'not-a-proxy'

export class ProxyRefusal extends Error {
  readonly code: RefusalKind

  constructor(kind: RefusalKind, fact: string) {
    super(fact)
    this.code = kind
  }
}

/** Puts back what the upstream has sent already, for the next reader. */
export function shakeHands(
  socket: Socket,
  handshake: ProxyHandshake,
  signal: AbortSignal
): Promise<void> {
  return socketStep(socket, signal, ({ done, fail, onGone }) => {
    const read = (): void => {
      for (let chunk = readChunk(socket); chunk !== null; chunk = readChunk(socket)) {
        const step = handshake.feed(chunk)
        if (step.name === 'send') socket.write(step.bytes)
        if (step.name !== 'open') continue
        stop()
        if (step.rest.length > 0) socket.unshift(step.rest)
        done()
        return
      }
    }
    const onReadable = (): void => {
      try {
        read()
      } catch (cause) {
        stop()
        fail(cause)
      }
    }
    const stop = (): void => {
      socket.off('readable', onReadable).off('end', onGone)
    }
    socket.on('readable', onReadable).once('end', onGone)
    socket.write(handshake.greeting)
    return stop
  })
}

function readChunk(socket: Socket): Buffer | null {
  const chunk: unknown = socket.read()
  return Buffer.isBuffer(chunk) ? chunk : null
}

const MAX_HEAD_BYTES = 16 * 1024
const HEAD_END = '\r\n\r\n'
const BEGINNING = Buffer.from('HTTP/1.')
const STATUS_LINE = /^HTTP\/1\.[01] ([1-5][0-9]{2})(?: [^\r\n]*)?\r\n/

/**
 * Asks an HTTP proxy for a tunnel, for http:// upstreams too: one way for all, and the proxy sees no request.
 *
 *   CONNECT host:443 HTTP/1.1          HTTP/1.1 200 Connection established
 *   host: host:443              ──▶
 *   proxy-authorization: Basic …  ◀──  <bytes of the upstream>
 *
 * @see https://www.rfc-editor.org/rfc/rfc9110#name-connect
 */
export class HttpTunnel implements ProxyHandshake {
  readonly greeting: Buffer
  readonly #hasCredentials: boolean
  #unread: Buffer = Buffer.alloc(0)
  /** Interim answers may precede the last. */
  #headBytes = 0

  constructor(target: Address, credentials: ProxyCredentials | null) {
    const authority = toAuthority(target)
    this.#hasCredentials = credentials !== null
    const lines = [`CONNECT ${authority} HTTP/1.1`, `host: ${authority}`]
    if (credentials !== null) lines.push(`proxy-authorization: ${toBasic(credentials)}`)
    this.greeting = Buffer.from(lines.join('\r\n') + HEAD_END)
  }

  feed(chunk: Buffer): HandshakeStep {
    this.#unread = Buffer.concat([this.#unread, chunk])
    for (;;) {
      this.#checkBeginning()
      const at = this.#unread.indexOf(HEAD_END)
      const end = at === -1 ? this.#unread.length : at + HEAD_END.length
      if (this.#headBytes + end > MAX_HEAD_BYTES) throw notHttp(`over ${MAX_HEAD_BYTES} bytes`)
      if (at === -1) return { name: 'more' }
      this.#headBytes += end
      const head = this.#unread.toString('latin1', 0, end)
      // A slice that the connection reads at once.
      this.#unread = this.#unread.subarray(end)
      if (this.#isOpen(head)) return { name: 'open', rest: this.#unread }
    }
  }

  /** Waiting for the end of something that is not a head would take until the deadline. */
  #checkBeginning(): void {
    const length = Math.min(this.#unread.length, BEGINNING.length)
    if (this.#unread.compare(BEGINNING, 0, length, 0, length) !== 0) throw notHttp('no HTTP')
  }

  #isOpen(head: string): boolean {
    const status = Number(STATUS_LINE.exec(head)?.[1] ?? 0)
    if (status === 0) throw notHttp('no HTTP status')
    if (status >= 200 && status < 300) return true
    if (status !== 101 && status < 200) return false
    const fact = `HTTP ${status}`
    if (status === 407) {
      const kind = this.#hasCredentials ? 'credentials-refused' : 'credentials-missing'
      throw new ProxyRefusal(kind, fact)
    }
    throw new ProxyRefusal(status >= 500 ? 'unreachable' : 'denied', fact)
  }
}

function toBasic({ username, password }: ProxyCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function notHttp(fact: string): ProxyRefusal {
  return new ProxyRefusal('not-a-proxy', fact)
}

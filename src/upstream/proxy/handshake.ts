import type { Socket } from 'node:net'
import { socketStep } from '../socket.ts'
import { type Address, type ProxyCredentials, toAuthority } from './proxy.ts'

/**
 * Asks a proxy for a connection. Pure: yields bytes for the proxy, or none to hear more, takes the proxy's bytes however
 * they are cut, and returns what the upstream has sent already. Throws `ProxyRefusal`.
 */
export type ProxyHandshake = Generator<Buffer, Buffer, Buffer>

export const TELL_NOTHING = Buffer.alloc(0)

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
        const { done: isOpen, value } = handshake.next(chunk)
        if (isOpen === true) {
          stop()
          if (value.length > 0) socket.unshift(value)
          done()
          return
        }
        if (value.length > 0) socket.write(value)
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
    socket.write(handshake.next().value)
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
export function* askForTunnel(
  target: Address,
  credentials: ProxyCredentials | null
): ProxyHandshake {
  const authority = toAuthority(target)
  const lines = [`CONNECT ${authority} HTTP/1.1`, `host: ${authority}`]
  if (credentials !== null) lines.push(`proxy-authorization: ${toBasic(credentials)}`)
  let unread = yield Buffer.from(lines.join('\r\n') + HEAD_END)
  let headBytes = 0 // interim answers may precede the last
  for (;;) {
    checkBeginning(unread)
    const at = unread.indexOf(HEAD_END)
    const end = at === -1 ? unread.length : at + HEAD_END.length
    if (headBytes + end > MAX_HEAD_BYTES) throw notHttp(`over ${MAX_HEAD_BYTES} bytes`)
    if (at === -1) {
      unread = Buffer.concat([unread, yield TELL_NOTHING])
      continue
    }
    headBytes += end
    const head = unread.toString('latin1', 0, end)
    unread = unread.subarray(end)
    if (isOpenedBy(head, credentials)) return unread
  }
}

/** Waiting for the end of something that is not a head would take until the deadline. */
function checkBeginning(bytes: Buffer): void {
  const length = Math.min(bytes.length, BEGINNING.length)
  if (bytes.compare(BEGINNING, 0, length, 0, length) !== 0) throw notHttp('no HTTP')
}

function isOpenedBy(head: string, credentials: ProxyCredentials | null): boolean {
  const status = Number(STATUS_LINE.exec(head)?.[1] ?? 0)
  if (status === 0) throw notHttp('no HTTP status')
  if (status >= 200 && status < 300) return true
  if (status !== 101 && status < 200) return false
  const fact = `HTTP ${status}`
  if (status === 407) {
    const kind = credentials === null ? 'credentials-missing' : 'credentials-refused'
    throw new ProxyRefusal(kind, fact)
  }
  throw new ProxyRefusal(status >= 500 ? 'unreachable' : 'denied', fact)
}

function toBasic({ username, password }: ProxyCredentials): string {
  return `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`
}

function notHttp(fact: string): ProxyRefusal {
  return new ProxyRefusal('not-a-proxy', fact)
}

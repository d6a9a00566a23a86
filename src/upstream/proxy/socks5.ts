import { isIP } from 'node:net'
import {
  type HandshakeStep,
  type ProxyHandshake,
  ProxyRefusal,
  type RefusalKind
} from './handshake.ts'
import type { Address, ProxyCredentials } from './proxy.ts'

const VERSION = 5
const NO_AUTHENTICATION = 0
const PASSWORD = 2
const IPV4 = 1
const NAME = 3
const IPV6 = 4

/** Replies from code 1 on (RFC 1928 §6). */
const REPLIES: readonly (readonly [RefusalKind, string])[] = [
  ['unreachable', 'general failure'],
  ['denied', 'not allowed by its rules'],
  ['unreachable', 'network unreachable'],
  ['unreachable', 'host unreachable'],
  ['unreachable', 'connection refused'],
  ['unreachable', 'TTL expired'],
  ['denied', 'command not supported'],
  ['denied', 'address type not supported']
]

type Phase = 'method' | 'authentication' | 'reply'

/**
 * Asks a SOCKS5 proxy for a connection. The proxy resolves the name: we may be unable to, and would reveal it.
 *
 *   05 n methods      ──▶
 *                     ◀──  05 method
 *   01 len user len password ──▶            only if it wants that
 *                     ◀──  01 00
 *   05 01 00 type address port ──▶
 *                     ◀──  05 00 00 type address port, then the upstream's bytes
 *
 * @see https://www.rfc-editor.org/rfc/rfc1928 and https://www.rfc-editor.org/rfc/rfc1929
 */
export class Socks5Handshake implements ProxyHandshake {
  readonly greeting: Buffer
  readonly #target: Address
  readonly #credentials: ProxyCredentials | null
  #phase: Phase = 'method'
  #unread: Buffer = Buffer.alloc(0)

  constructor(target: Address, credentials: ProxyCredentials | null) {
    this.#target = target
    this.#credentials = credentials
    const methods = credentials === null ? [NO_AUTHENTICATION] : [NO_AUTHENTICATION, PASSWORD]
    this.greeting = Buffer.from([VERSION, methods.length, ...methods])
  }

  feed(chunk: Buffer): HandshakeStep {
    this.#unread = Buffer.concat([this.#unread, chunk])
    switch (this.#phase) {
      case 'method':
        return this.#readMethod()
      case 'authentication':
        return this.#readAuthentication()
      case 'reply':
        return this.#readReply()
    }
  }

  #readMethod(): HandshakeStep {
    const [version, method] = this.#unread
    if (version !== VERSION) throw notSocks(`version ${version} instead of 5`)
    if (method === undefined) return { name: 'more' }
    // A slice of a handshake.
    this.#unread = this.#unread.subarray(2)
    if (method === NO_AUTHENTICATION) return this.#askFor('reply', toRequest(this.#target))
    if (method === PASSWORD && this.#credentials !== null) {
      return this.#askFor('authentication', toAuthentication(this.#credentials))
    }
    if (method !== 0xff) throw notSocks(`method ${method}, which was not offered`)
    const kind = this.#credentials === null ? 'credentials-missing' : 'credentials-refused'
    throw new ProxyRefusal(kind, 'SOCKS5, no method left')
  }

  #readAuthentication(): HandshakeStep {
    // Should be 1; some servers repeat 5 here, and the status is the second byte.
    const [, status] = this.#unread
    if (status === undefined) return { name: 'more' }
    if (status !== 0) throw new ProxyRefusal('credentials-refused', `SOCKS5 status ${status}`)
    // A slice of a handshake.
    this.#unread = this.#unread.subarray(2)
    return this.#askFor('reply', toRequest(this.#target))
  }

  #readReply(): HandshakeStep {
    const [version, reply, , type, nameLength] = this.#unread
    if (version !== VERSION) throw notSocks(`version ${version} instead of 5`)
    if (reply !== undefined && reply !== 0) {
      const [kind, fact] = REPLIES[reply - 1] ?? ['unreachable', 'unknown failure']
      throw new ProxyRefusal(kind, `SOCKS5 reply ${reply}, ${fact}`)
    }
    if (type === undefined || nameLength === undefined) return { name: 'more' }
    const length = 4 + addressLength(type, nameLength) + 2
    if (this.#unread.length < length) return { name: 'more' }
    return { name: 'open', rest: this.#unread.subarray(length) }
  }

  /** A server that speaks first does not speak SOCKS. */
  #askFor(phase: Phase, bytes: Buffer): HandshakeStep {
    if (this.#unread.length > 0) throw notSocks('bytes that were not asked for')
    this.#phase = phase
    return { name: 'send', bytes }
  }
}

function addressLength(type: number, nameLength: number): number {
  if (type === IPV4) return 4
  if (type === IPV6) return 16
  if (type === NAME) return 1 + nameLength
  throw notSocks(`address type ${type}`)
}

function toAuthentication({ username, password }: ProxyCredentials): Buffer {
  return Buffer.concat([Buffer.from([1]), withLength(username), withLength(password)])
}

function toRequest({ host, port }: Address): Buffer {
  return Buffer.concat([
    Buffer.from([VERSION, 1, 0]),
    toAddress(host),
    Buffer.from([port >> 8, port & 0xff])
  ])
}

function toAddress(host: string): Buffer {
  const family = isIP(host)
  if (family === 0) return Buffer.concat([Buffer.from([NAME]), withLength(host)])
  if (family === 4) return Buffer.from([IPV4, ...host.split('.').map(Number)])
  return Buffer.concat([Buffer.from([IPV6]), toIpv6Bytes(host)])
}

function toIpv6Bytes(host: string): Buffer {
  const [left = [], right = []] = host.split('::').map(toGroups)
  const zeros = Array<string>(8 - left.length - right.length).fill('0')
  const groups = [...left, ...zeros, ...right]
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}

function toGroups(text: string): readonly string[] {
  return text === '' ? [] : text.split(':')
}

function withLength(text: string): Buffer {
  const bytes = Buffer.from(text)
  if (bytes.length > 255) throw new ProxyRefusal('denied', 'SOCKS5: a name of over 255 bytes')
  return Buffer.concat([Buffer.from([bytes.length]), bytes])
}

function notSocks(fact: string): ProxyRefusal {
  return new ProxyRefusal('not-a-proxy', `SOCKS5: ${fact}`)
}

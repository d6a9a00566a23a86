import { isIP } from 'node:net'
import { type ProxyHandshake, ProxyRefusal, type RefusalKind, TELL_NOTHING } from './handshake.ts'
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
export function* askSocks5(target: Address, credentials: ProxyCredentials | null): ProxyHandshake {
  const methods = credentials === null ? [NO_AUTHENTICATION] : [NO_AUTHENTICATION, PASSWORD]
  const greeting = Buffer.from([VERSION, methods.length, ...methods])
  const choice = yield* answerTo(greeting, choiceLength)
  const method = choice[1]
  if (method === PASSWORD && credentials !== null) {
    refuseMore(choice)
    // Should begin with 1; some servers repeat 5 here, and the status is the second byte.
    const answer = yield* answerTo(toAuthentication(credentials), () => PAIR)
    const status = answer[1]
    if (status !== 0) throw new ProxyRefusal('credentials-refused', `SOCKS5 status ${status}`)
    refuseMore(answer)
  } else {
    if (method !== NO_AUTHENTICATION) throw refusedMethod(method, credentials)
    refuseMore(choice)
  }
  const reply = yield* answerTo(toRequest(target), replyLength)
  return reply.subarray(replyLength(reply))
}

/** Sends `question`; returns an answer that is as long as it says itself, and what came behind it. */
function* answerTo(question: Buffer, lengthOf: (answer: Buffer) => number): ProxyHandshake {
  let answer = yield question
  while (answer.length < lengthOf(answer)) answer = Buffer.concat([answer, yield TELL_NOTHING])
  return answer
}

const PAIR = 2

function choiceLength([version]: Buffer): number {
  if (version !== VERSION) throw notSocks(`version ${version} instead of 5`)
  return PAIR
}

/** `Infinity` while it is unknown. */
function replyLength([version, reply, , type, nameLength]: Buffer): number {
  if (version !== VERSION) throw notSocks(`version ${version} instead of 5`)
  if (reply !== undefined && reply !== 0) {
    const [kind, fact] = REPLIES[reply - 1] ?? ['unreachable', 'unknown failure']
    throw new ProxyRefusal(kind, `SOCKS5 reply ${reply}, ${fact}`)
  }
  if (type === undefined || nameLength === undefined) return Infinity
  return 4 + addressLength(type, nameLength) + 2
}

/** A server that speaks first does not speak SOCKS. */
function refuseMore({ length }: Buffer): void {
  if (length > PAIR) throw notSocks('bytes that were not asked for')
}

function refusedMethod(method: number | undefined, credentials: ProxyCredentials | null) {
  if (method !== 0xff) return notSocks(`method ${method}, which was not offered`)
  const kind = credentials === null ? 'credentials-missing' : 'credentials-refused'
  return new ProxyRefusal(kind, 'SOCKS5, no method left')
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

import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { type HostsSearch, hostsSearch } from './hosts-file.ts'
import { codeOf } from '../../shared/errors.ts'

export interface HostAddress {
  readonly address: string
  readonly family: 4 | 6
}

/** Addresses, best first; at least one. */
export interface NameAnswer {
  readonly addresses: readonly HostAddress[]
  readonly ttlMs: number
}

/** @throws {NameUnresolved} without addresses; the signal's reason when it aborts first */
export type NameLookup = (host: string, signal: AbortSignal) => Promise<NameAnswer>

export class NameUnresolved extends Error {
  /** `ENOTFOUND`: the servers know no address. `EAI_AGAIN`: no useful answer. */
  readonly code: 'ENOTFOUND' | 'EAI_AGAIN'
  readonly hostname: string

  constructor(code: NameUnresolved['code'], hostname: string, fact: string) {
    super(`${hostname} could not be resolved (${fact})`)
    this.code = code
    this.hostname = hostname
  }
}

export interface NameLookupOptions {
  /** `address` or `address:port`; the system's if empty. */
  readonly servers?: readonly string[]
  readonly hosts?: HostsSearch
  readonly timeoutMs?: number
}

/** Servers that are silent for so long are down, and a client waits. */
const TIMEOUT_MS = 5_000
/** Time until the next server is asked; doubled each time. */
const FIRST_TRY_MS = 1_500
const TRIES = 3
/** Wait for the other kind of address: some servers never answer for a kind that they lack. */
const OTHER_KIND_MS = 100
const PARTIAL_TTL_MS = 1_000

const DEFINITE: readonly string[] = ['ENOTFOUND', 'ENODATA', 'EBADNAME']

/**
 * Look-ups that can be cancelled. `getaddrinfo` cannot: an unanswered name takes one of the process's four file threads
 * for tens of seconds, and the process does not end before it is through.
 *
 *   an address ─▶ itself     the hosts file ─▶ localhost ─▶ A and AAAA, asked at the same time
 *
 * Each look-up has its own resolver (some 15 µs): it is cancelled without touching others, and reads the current
 * `/etc/resolv.conf`.
 */
export function createNameLookup(options: NameLookupOptions = {}): NameLookup {
  const { servers = [], hosts = hostsSearch(), timeoutMs = TIMEOUT_MS } = options
  return async (host, signal) => {
    signal.throwIfAborted()
    const family = isIP(host)
    if (family === 4 || family === 6) return { addresses: [{ address: host, family }], ttlMs: 0 }
    const name = host.toLowerCase().replace(/\.$/, '')
    const own = hosts(name) ?? localAddresses(name)
    if (own !== null) return { addresses: own, ttlMs: 0 }
    return askServers(name, { servers, timeoutMs }, signal)
  }
}

/** @see https://www.rfc-editor.org/rfc/rfc6761#section-6.3 */
function localAddresses(name: string): readonly HostAddress[] | null {
  if (name !== 'localhost' && !name.endsWith('.localhost')) return null
  return [
    { address: '127.0.0.1', family: 4 },
    { address: '::1', family: 6 }
  ]
}

type Reply =
  | { readonly addresses: readonly HostAddress[]; readonly ttlMs: number }
  | { readonly code: string }

async function askServers(
  name: string,
  { servers, timeoutMs }: Required<Pick<NameLookupOptions, 'servers' | 'timeoutMs'>>,
  signal: AbortSignal
): Promise<NameAnswer> {
  const resolver = new Resolver({ timeout: FIRST_TRY_MS, tries: TRIES })
  if (servers.length > 0) resolver.setServers(servers)
  const replies: Reply[] = []
  const { promise: enough, resolve: stop } = Promise.withResolvers<void>()
  let otherKind: NodeJS.Timeout | undefined
  const onReply = (reply: Reply): void => {
    replies.push(reply)
    if (replies.length === 2) stop()
    else if ('addresses' in reply) otherKind = setTimeout(stop, OTHER_KIND_MS)
  }
  const deadline = setTimeout(stop, timeoutMs)
  const onAbort = (): void => stop()
  signal.addEventListener('abort', onAbort)
  void ask(resolver.resolve4(name, { ttl: true }), 4).then(onReply) // never rejects
  void ask(resolver.resolve6(name, { ttl: true }), 6).then(onReply)
  await enough
  const inTime = [...replies]
  clearTimeout(deadline)
  clearTimeout(otherKind)
  signal.removeEventListener('abort', onAbort)
  resolver.cancel()
  signal.throwIfAborted()
  return toAnswer(name, inTime)
}

async function ask(
  records: Promise<readonly { readonly address: string; readonly ttl: number }[]>,
  family: 4 | 6
): Promise<Reply> {
  try {
    const found = await records
    if (found.length === 0) return { code: 'ENODATA' }
    const ttlMs = Math.min(...found.map(({ ttl }) => ttl)) * 1000
    return { addresses: found.map(({ address }) => ({ address, family })), ttlMs }
  } catch (cause) {
    return { code: codeOf(cause) || 'unknown' }
  }
}

function toAnswer(name: string, replies: readonly Reply[]): NameAnswer {
  const answers = replies.filter((reply) => 'addresses' in reply)
  const codes = replies.flatMap((reply) => ('code' in reply ? [reply.code] : []))
  if (answers.length === 0) {
    const isDefinite =
      codes.includes('ENOTFOUND') ||
      (codes.length === 2 && codes.every((code) => DEFINITE.includes(code)))
    const fact = codes.length === 0 ? 'no answer' : codes.join(', ')
    throw new NameUnresolved(isDefinite ? 'ENOTFOUND' : 'EAI_AGAIN', name, fact)
  }
  const isWhole = replies.length === 2 && codes.every((code) => DEFINITE.includes(code))
  const found = answers.flatMap(({ addresses }) => addresses)
  const ttlMs = Math.min(...answers.map((answer) => answer.ttlMs))
  return {
    addresses: inOrder(found, ipv6ReachOf(networkInterfaces())),
    ttlMs: isWhole ? ttlMs : Math.min(ttlMs, PARTIAL_TTL_MS)
  }
}

export type Ipv6Reach = 'public' | 'private' | 'none'

/**
 * Orders as `getaddrinfo`: IPv6 first only if the machine has a public IPv6 address. See
 * https://www.rfc-editor.org/rfc/rfc6724
 */
export function inOrder(
  addresses: readonly HostAddress[],
  reach: Ipv6Reach
): readonly HostAddress[] {
  const v4 = addresses.filter(({ family }) => family === 4)
  const v6 = addresses.filter(({ family }) => family === 6)
  if (reach === 'public') return [...v6, ...v4]
  return reach === 'private' || v4.length === 0 ? [...v4, ...v6] : v4
}

export function ipv6ReachOf(interfaces: ReturnType<typeof networkInterfaces>): Ipv6Reach {
  const own = Object.values(interfaces)
    .flatMap((addresses) => addresses ?? [])
    .filter(({ family, internal }) => family === 'IPv6' && !internal)
    .map(({ address }) => address.toLowerCase())
  if (own.some((address) => /^[23]/.test(address))) return 'public'
  return own.some((address) => !address.startsWith('fe80')) ? 'private' : 'none'
}

import { BlockList, isIP } from 'node:net'
import type { Config } from '../../config/settings.ts'
import type { Logger } from '../../observe/logger.ts'

export interface Proxy extends Address {
  readonly protocol: 'http:' | 'https:' | 'socks5:'
  readonly credentials: ProxyCredentials | null
  /** URL without credentials, for logs and pages. */
  readonly name: string
  readonly setting: 'VPN_PROXY_URL' | 'HTTPS_PROXY'
}

export interface ProxyCredentials {
  readonly username: string
  readonly password: string
}

export type ProxyChoice = (origin: URL) => Proxy | null

/** `VPN_PROXY_URL` is for all hosts but `NO_PROXY`; `HTTPS_PROXY` for https:// only, as in other programs. */
export function chooseProxy(settings: Config['proxy']): ProxyChoice {
  const proxy = proxyOf(settings)
  const isException = parseNoProxy(settings.exceptions ?? '')
  return (origin) => {
    if (proxy === null || isException(addressOf(origin))) return null
    return proxy.setting === 'VPN_PROXY_URL' || origin.protocol === 'https:' ? proxy : null
  }
}

export function proxyOf({ url, httpsUrl }: Config['proxy']): Proxy | null {
  if (url !== null) return toProxy(new URL(url), 'VPN_PROXY_URL')
  return httpsUrl === null ? null : toProxy(new URL(httpsUrl), 'HTTPS_PROXY')
}

export function logProxy(log: Pick<Logger, 'info'>, settings: Config['proxy']): void {
  const proxy = proxyOf(settings)
  if (proxy === null) return
  const { name, setting } = proxy
  const facts = { proxy: name, setting, exceptions: settings.exceptions }
  log.info(facts, 'upstream is called through a proxy')
}

function toProxy(url: URL, setting: Proxy['setting']): Proxy {
  const { protocol, username, password } = url
  if (protocol !== 'http:' && protocol !== 'https:' && protocol !== 'socks5:') {
    throw new Error(`${setting} was not checked`)
  }
  const hasCredentials = username !== '' || password !== ''
  return {
    ...addressOf(url),
    protocol,
    setting,
    name: `${protocol}//${url.host}`,
    credentials: hasCredentials
      ? { username: decodeURIComponent(username), password: decodeURIComponent(password) }
      : null
  }
}

type Match = (address: Address) => boolean

/**
 * Reads `NO_PROXY`: entries separated by commas or white space.
 *
 *   *                    everything
 *   example.com          this host, not its subdomains
 *   .example.com         its subdomains, not itself; *.example.com is the same
 *   10.1.2.3  ::1  [::1] an address as it stands in the URL: names are not resolved
 *   10.0.0.0/8           a range of addresses
 *   host:8443            each of these with a port: only that port
 *
 * Other entries match nothing: other programs that share the variable may know more.
 */
export function parseNoProxy(text: string): Match {
  const matches = text
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((entry) => entry !== '')
    .map(toMatch)
  return ({ host, port }) => {
    const plain = { host: host.toLowerCase().replace(/\.$/, ''), port }
    return matches.some((matchOne) => matchOne(plain))
  }
}

function toMatch(entry: string): Match {
  if (entry === '*') return () => true
  const [pattern, onlyPort] = splitPort(entry)
  const matchHost = toHostMatch(pattern)
  return ({ host, port }) => (onlyPort === null || onlyPort === port) && matchHost(host)
}

function splitPort(entry: string): readonly [string, number | null] {
  const [, bracketed, portAfter] = /^\[([^\]]+)\](?::([0-9]+))?$/.exec(entry) ?? []
  if (bracketed !== undefined)
    return [bracketed, portAfter === undefined ? null : Number(portAfter)]
  const [, host, port] = /^([^:]+):([0-9]+)$/.exec(entry) ?? []
  return host === undefined ? [entry, null] : [host, Number(port)]
}

function toHostMatch(pattern: string): (host: string) => boolean {
  if (/^\*?\.[^.]/.test(pattern)) {
    const suffix = pattern.replace('*', '').replace(/\.$/, '')
    return (host) => host.endsWith(suffix) && host !== suffix
  }
  const inRange = toRangeMatch(pattern)
  if (inRange !== null) return inRange
  const name = pattern.replace(/\.$/, '')
  return (host) => host === name
}

/** An address is a range of one, since an IPv6 address has many spellings. */
function toRangeMatch(pattern: string): ((host: string) => boolean) | null {
  const [base = '', bits, ...rest] = pattern.split('/')
  const family = isIP(base)
  const most = family === 4 ? 32 : 128
  const prefix = bits === undefined ? most : /^[0-9]{1,3}$/.test(bits) ? Number(bits) : -1
  if (family === 0 || rest.length > 0 || prefix < 0 || prefix > most) return null
  const list = new BlockList()
  list.addSubnet(base, prefix, family === 4 ? 'ipv4' : 'ipv6')
  return (host) => isIP(host) !== 0 && list.check(host, isIP(host) === 4 ? 'ipv4' : 'ipv6')
}

export interface Address {
  readonly host: string
  readonly port: number
}

export function addressOf({ hostname, port, protocol }: URL): Address {
  // URL keeps the brackets of an IPv6 address; sockets do not want them.
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  if (port !== '') return { host, port: Number(port) }
  return { host, port: protocol === 'https:' ? 443 : 80 }
}

export function toAuthority({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

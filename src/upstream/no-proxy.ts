import { BlockList, isIP } from 'node:net'
import type { Address } from './address.ts'

type Match = (address: Address) => boolean

/**
 * Reads `NO_PROXY`: entries separated by commas or white space.
 *
 * ```
 *   *                    everything
 *   example.com          this host, not its subdomains
 *   .example.com         its subdomains, not itself; *.example.com is the same
 *   10.1.2.3  ::1  [::1] an address as it stands in the URL: names are not resolved
 *   10.0.0.0/8           a range of addresses
 *   host:8443            each of these with a port: only that port
 * ```
 * What is none of these matches nothing: the variable is shared with other programs, which may know more.
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

/** An address counts as the range of itself, since the same IPv6 address has many spellings. */
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

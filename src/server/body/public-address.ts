import { BlockList, isIP } from 'node:net'

type Network = readonly [network: string, prefix: number]

/** See https://www.iana.org/assignments/iana-ipv4-special-registry */
const SPECIAL_IPV4: readonly Network[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
  // Public by number, but the host's own service in Azure's virtual machines.
  ['168.63.129.16', 32]
]

const GLOBAL_IPV6: Network = ['2000::', 3]

/** See https://www.iana.org/assignments/iana-ipv6-special-registry */
const SPECIAL_IPV6: readonly Network[] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2620:4f:8000::', 48],
  ['3fff::', 20]
]

/** Translated to IPv4: as public as the address inside. */
const NAT64: Network = ['64:ff9b::', 96]
const SIX_TO_FOUR_PREFIX = 16

const allowed = new BlockList()
const special = new BlockList()
allowed.addSubnet('0.0.0.0', 0, 'ipv4') // an IPv4-mapped IPv6 address (::ffff:0:0/96) counts as this
allowed.addSubnet(...GLOBAL_IPV6, 'ipv6')
allowed.addSubnet(...NAT64, 'ipv6')
for (const network of SPECIAL_IPV6) special.addSubnet(...network, 'ipv6')
for (const [network, prefix] of SPECIAL_IPV4) {
  special.addSubnet(network, prefix, 'ipv4')
  special.addSubnet(`64:ff9b::${network}`, NAT64[1] + prefix, 'ipv6')
  special.addSubnet(`2002:${toGroups(network)}::`, SIX_TO_FOUR_PREFIX + prefix, 'ipv6')
}

/** Judges IPv4 inside IPv6 as IPv4. */
export function isPublicAddress(address: string): boolean {
  const version = isIP(address)
  if (version === 0 || address.includes('%')) return false
  const family = version === 6 ? 'ipv6' : 'ipv4'
  return allowed.check(address, family) && !special.check(address, family)
}

/** Two groups of IPv6 hold an IPv4 address. */
function toGroups(address: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = address.split('.').map(Number)
  return `${(a * 256 + b).toString(16)}:${(c * 256 + d).toString(16)}`
}

/** Name endings of private networks: RFC 6761, 6762, 7686, 8375, and usual others. */
const PRIVATE_ENDINGS: readonly string[] = [
  'localhost',
  'local',
  'internal',
  'intranet',
  'private',
  'corp',
  'home',
  'lan',
  'localdomain',
  'home.arpa',
  'onion',
  'test',
  'invalid'
]

/** Judges a host without a look-up, for names that a proxy resolves. */
export function mayBePublicHost(host: string, isAllowed: (address: string) => boolean): boolean {
  if (isIP(host) !== 0) return isAllowed(host)
  const name = host.toLowerCase().replace(/\.$/, '')
  if (!name.includes('.')) return false
  return !PRIVATE_ENDINGS.some((ending) => name.endsWith(`.${ending}`))
}

import { BlockList, isIP } from 'node:net'

/** Returns `null` if one of them is neither an address nor a network in CIDR notation. */
export function toAddressList(texts: readonly string[]): BlockList | null {
  const list = new BlockList()
  for (const text of texts) {
    const [address = '', prefix] = text.split('/', 2)
    const version = isIP(address)
    if (version === 0) return null
    const family = version === 4 ? 'ipv4' : 'ipv6'
    const most = version === 4 ? 32 : 128
    if (prefix === undefined) list.addAddress(address, family)
    else if (Number(prefix) <= most) list.addSubnet(address, Number(prefix), family)
    else return null
  }
  return list
}

/** An IPv4 address may have come mapped into IPv6. */
export function isListed(list: BlockList, address: string): boolean {
  const plain = plainAddress(address)
  const version = isIP(plain)
  return version !== 0 && list.check(plain, version === 4 ? 'ipv4' : 'ipv6')
}

const LOOPBACK = toAddressList(['127.0.0.0/8', '::1'])

/** Takes a host as it stands in a setting: a name, or an address without brackets. */
export function isLoopback(host: string): boolean {
  return host.toLowerCase() === 'localhost' || (LOOPBACK !== null && isListed(LOOPBACK, host))
}

export function plainAddress(address: string): string {
  return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address
}

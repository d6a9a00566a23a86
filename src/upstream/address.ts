/** Where a TCP connection leads. */
export interface Address {
  /** A name or an IP address, without brackets. */
  readonly host: string
  readonly port: number
}

/** The address of an http:// or https:// URL. */
export function addressOf({ hostname, port, protocol }: URL): Address {
  // URL keeps the brackets of an IPv6 address; sockets do not want them.
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname
  if (port !== '') return { host, port: Number(port) }
  return { host, port: protocol === 'https:' ? 443 : 80 }
}

/** `host:port` as HTTP writes it. */
export function toAuthority({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

const DEFAULT_PORTS: Readonly<Record<string, number>> = { http: 80, https: 443, socks5: 1080 }
const ADDRESS = /^(?:([a-z][a-z0-9+.-]*):\/\/)?(.+)$/i
const HOST = /^([a-z0-9._-]{1,253}|\[[0-9a-f:.]+\])$/i
/** RFC 1929 has one byte for the length of each. */
const MAX_SOCKS_BYTES = 255

/**
 * A proxy's address as people write it, in one form: `scheme://[user:password@]host:port`, user and password
 * percent-encoded. `host:port` alone is an http proxy, `socks5h` is `socks5`: names are always resolved by the proxy.
 * `undefined` if the text is no such address.
 */
export function toProxyUrl(text: string): string | undefined {
  const [, given, rest = ''] = ADDRESS.exec(text) ?? []
  if (given === undefined && !/:[0-9]+\/?$/.test(rest)) return undefined
  const scheme = given?.toLowerCase().replace(/^socks5h$/, 'socks5') ?? 'http'
  const defaultPort = DEFAULT_PORTS[scheme]
  if (defaultPort === undefined || !URL.canParse(`${scheme}://${rest}`)) return undefined
  const url = new URL(`${scheme}://${rest}`)
  const { hostname, username, password, pathname, search, hash } = url
  const isBare = ['', '/'].includes(pathname) && search === '' && hash === ''
  if (!isBare || !HOST.test(hostname) || url.port === '0') return undefined
  if (!isUsable(scheme, username) || !isUsable(scheme, password)) return undefined
  if (scheme !== 'socks5' && decodeURIComponent(username).includes(':')) return undefined
  const credentials = username === '' && password === '' ? '' : `${username}:${password}@`
  return `${scheme}://${credentials}${hostname}:${url.port === '' ? defaultPort : url.port}`
}

/** A part of the credentials, percent-encoded. */
function isUsable(scheme: string, encoded: string): boolean {
  try {
    const bytes = Buffer.byteLength(decodeURIComponent(encoded))
    return scheme !== 'socks5' || bytes <= MAX_SOCKS_BYTES
  } catch {
    return false // % without two digits, or bytes that are no UTF-8
  }
}

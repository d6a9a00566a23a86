import type { Config } from '../config/settings.ts'
import { type Address, addressOf } from './address.ts'
import { parseNoProxy } from './no-proxy.ts'

/** A proxy through which connections to the upstream are opened. */
export interface Proxy extends Address {
  readonly protocol: 'http:' | 'https:' | 'socks5:'
  readonly credentials: ProxyCredentials | null
  /** Its URL without credentials: what may be logged and shown. */
  readonly name: string
  /** Where it was set, for advice. */
  readonly setting: 'VPN_PROXY_URL' | 'HTTPS_PROXY'
}

export interface ProxyCredentials {
  readonly username: string
  readonly password: string
}

/** The proxy on the way to an upstream host; `null` goes there directly. */
export type ProxyChoice = (origin: URL) => Proxy | null

/**
 * What the settings say for each host: `VPN_PROXY_URL` is for all, `HTTPS_PROXY` for https:// only as in other
 * programs, and hosts of `NO_PROXY` have none.
 */
export function chooseProxy(settings: Config['proxy']): ProxyChoice {
  const proxy = proxyOf(settings)
  const isException = parseNoProxy(settings.exceptions ?? '')
  return (origin) => {
    if (proxy === null || isException(addressOf(origin))) return null
    return proxy.setting === 'VPN_PROXY_URL' || origin.protocol === 'https:' ? proxy : null
  }
}

/** The one proxy that the settings leave in use, if any. */
export function proxyOf({ url, httpsUrl }: Config['proxy']): Proxy | null {
  if (url !== null) return toProxy(new URL(url), 'VPN_PROXY_URL')
  return httpsUrl === null ? null : toProxy(new URL(httpsUrl), 'HTTPS_PROXY')
}

/** From a URL as `config/proxy-url.ts` writes it. */
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

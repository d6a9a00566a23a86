import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { isIP, isIPv4 } from 'node:net'
import { isListed, plainAddress, toAddressList } from '../../config/address-list.ts'
import type { Config } from '../../config/settings.ts'
import { GatewayError } from '../../shared/errors.ts'
import { isOnThisMachine } from '../../shared/loopback.ts'

/** Headers of answers that are for the page alone: no cache keeps them, and no other page shows them in a frame. */
export const NOT_KEPT = {
  'cache-control': 'no-store',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff'
} as const

/**
 * Accepts our page, typed addresses, and programs, which do not say where they come from.
 * @throws {GatewayError} GW_OTHER_SITE
 */
export function refuseOtherSites({ 'sec-fetch-site': site = 'none' }: IncomingHttpHeaders): void {
  if (site !== 'same-origin' && site !== 'none') throw new GatewayError('GW_OTHER_SITE')
}

/**
 * Trusts a browser's `sec-fetch-site`, as a proxy may have changed the host name; without it the page's
 * address must be the called one.
 * @throws {GatewayError} GW_OTHER_SITE
 */
export function requireOwnPage(headers: IncomingHttpHeaders): void {
  const { 'sec-fetch-site': site, origin, host } = headers
  if (site !== undefined) {
    if (site !== 'same-origin') throw new GatewayError('GW_OTHER_SITE')
    return
  }
  if (origin !== undefined && URL.parse(origin)?.host !== host?.toLowerCase()) {
    throw new GatewayError('GW_OTHER_SITE')
  }
}

/** A browser says so with every change, a program does not. */
export function isFromPage({ origin, 'sec-fetch-site': site }: IncomingHttpHeaders): boolean {
  return origin !== undefined || site !== undefined
}

/** The browser's origin tells https, whatever lies between. */
export function isSecure({ origin = '' }: IncomingHttpHeaders): boolean {
  return origin.startsWith('https://')
}

type ProxySettings = Pick<Config['server'], 'trustedProxies'>

/** Address of the client, as a trusted proxy tells it, else that of the connection. */
export function clientAddress(request: IncomingMessage, settings: ProxySettings): string {
  const address = plainAddress(request.socket.remoteAddress ?? '')
  if (!isTrusted(address, settings)) return address
  const told = [request.headers['x-forwarded-for'] ?? ''].flat().join(',').split(',')
  const addresses = told.map((one) => plainAddress(withoutPort(one.trim())))
  // A client may have sent some itself: the proxy adds the one that it sees to the end.
  const last = addresses.findLast((one) => one !== '' && !isTrusted(one, settings)) ?? ''
  return isIP(last) === 0 ? address : last
}

/** Some proxies add the port of the client. */
function withoutPort(text: string): string {
  const [, bracketed, plain] = /^(?:\[(.+)\](?::\d+)?|([\d.]+):\d+)$/.exec(text) ?? []
  return bracketed ?? plain ?? text
}

/**
 * Changes and secrets travel by HTTPS or stay on this machine. Guards against mistakes, not against clients
 * that lie: these only give away their own key.
 */
export function isSafeWay(request: IncomingMessage, settings: ProxySettings): boolean {
  const { origin, host = '', 'x-forwarded-proto': forwarded } = request.headers
  if (origin !== undefined && origin !== 'null') {
    const page = URL.parse(origin)
    return page !== null && (page.protocol === 'https:' || isOnThisMachine(page.hostname))
  }
  const address = plainAddress(request.socket.remoteAddress ?? '')
  if (isTrusted(address, settings) && forwarded !== undefined) {
    return [forwarded].flat().every((one) => one.trim().toLowerCase() === 'https')
  }
  return isLoopback(address) || isOnThisMachine(URL.parse(`http://${host}`)?.hostname ?? '')
}

/** Address at which the client reaches the gateway, for examples and commands. */
export function baseUrlOf(request: IncomingMessage, settings: ProxySettings): string {
  const { origin = '', host = '', 'x-forwarded-proto': forwarded } = request.headers
  const prefix = prefixOf(request, settings)
  const page = URL.parse(origin)
  if (page !== null && /^https?:$/.test(page.protocol)) return page.origin + prefix
  const isTold = isTrusted(plainAddress(request.socket.remoteAddress ?? ''), settings)
  const scheme = isTold && [forwarded].flat().at(-1)?.trim() === 'https' ? 'https' : 'http'
  const found = URL.parse(`${scheme}://${host}`)?.origin
  return (found ?? `http://127.0.0.1:${request.socket.localPort}`) + prefix
}

const PREFIX = /^(?:\/[\w.~-]{1,64}){1,8}$/

/** Path below which a trusted proxy serves the gateway, such as `/kiro`; empty if it does not say so. */
export function prefixOf({ headers, socket }: IncomingMessage, settings: ProxySettings): string {
  const told = [headers['x-forwarded-prefix'] ?? ''].flat().at(-1)?.trim().replace(/\/$/, '') ?? ''
  return PREFIX.test(told) && isTrusted(plainAddress(socket.remoteAddress ?? ''), settings)
    ? told
    : ''
}

/** The connection comes from one of TRUSTED_PROXIES, also on this machine: any program here could send a header. */
export function isFromProxy(
  { socket }: IncomingMessage,
  { trustedProxies }: ProxySettings
): boolean {
  return isOneOf(trustedProxies, socket.remoteAddress ?? '')
}

function isTrusted(address: string, { trustedProxies }: ProxySettings): boolean {
  return isLoopback(address) || isOneOf(trustedProxies, address)
}

function isOneOf(proxies: readonly string[], address: string): boolean {
  if (proxies.length === 0) return false
  const list = toAddressList(proxies)
  return list !== null && isListed(list, address)
}

function isLoopback(address: string): boolean {
  return address === '::1' || (isIPv4(address) && address.startsWith('127.'))
}

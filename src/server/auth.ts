import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import { isIPv4 } from 'node:net'
import { GatewayError } from '../shared/errors.ts'

/** Who is calling: a name of the key, the same in all workers and after every start, from which the key can't be told. */
export interface Caller {
  readonly keyName: string
}

/** Of a key's digest: enough that no other key has the name, since what is kept for a client is kept under it. */
const NAME_BYTES = 16

const ANYONE: Caller = { keyName: 'anyone' }

/**
 * Checks client keys in constant time: each is compared, as a digest, with every configured one, so that
 * neither a key's content, nor its length, nor its place in the list shows in the time taken.
 */
export class Authenticator {
  readonly #digests: readonly Buffer[]

  constructor(apiKeys: readonly string[]) {
    this.#digests = apiKeys.map(digestOf)
  }

  /**
   * Takes `x-api-key` and `authorization: Bearer`, either or both; one good key is enough, as clients send both
   * when both are configured.
   *
   * @throws {GatewayError} GW_KEY_MISSING, also for a foreign web page where there are no keys; GW_KEY_INVALID
   */
  check(headers: IncomingHttpHeaders): Caller {
    if (this.#digests.length === 0) {
      if (isForeignPage(headers)) throw new GatewayError('GW_KEY_MISSING', undefined, FOREIGN_PAGE)
      return ANYONE
    }
    const given = keysOf(headers)
    if (given.length === 0) throw new GatewayError('GW_KEY_MISSING')
    for (const key of given) {
      const digest = digestOf(key)
      let isKnown = false
      for (const known of this.#digests) isKnown = timingSafeEqual(digest, known) || isKnown
      if (isKnown) return { keyName: digest.toString('hex', 0, NAME_BYTES) }
    }
    throw new GatewayError('GW_KEY_INVALID')
  }
}

const FOREIGN_PAGE = {
  message:
    'Web pages of other sites may not use a gateway that asks for no key: set PROXY_API_KEY and send one of its keys.'
}

/**
 * Any page that is open in a browser may send requests to this machine; without keys it would spend the subscription. A
 * frame without rights of its own says `null`, and a name that its owner lets point to this machine is no name of ours.
 */
function isForeignPage({ origin = '' }: IncomingHttpHeaders): boolean {
  if (origin === 'null') return true
  const page = URL.parse(origin)
  if (page === null || !/^https?:$/.test(page.protocol)) return false // programs have others, or none
  const { hostname } = page
  const isOwn = /(^|\.)localhost$/.test(hostname) || hostname === '[::1]'
  return !isOwn && !(isIPv4(hostname) && hostname.startsWith('127.'))
}

function keysOf(headers: IncomingHttpHeaders): readonly string[] {
  const keys: string[] = []
  const apiKey = headers['x-api-key']
  if (typeof apiKey === 'string' && apiKey !== '') keys.push(apiKey)
  const [scheme = '', token = ''] = headers.authorization?.trim().split(/\s+/, 2) ?? []
  if (scheme.toLowerCase() === 'bearer' && token !== '') keys.push(token)
  return keys
}

function digestOf(key: string): Buffer {
  return createHash('sha256').update(key).digest()
}

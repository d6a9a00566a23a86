import { hash as hashOf, randomUUID, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { isIPv4 } from 'node:net'
import {
  type KeyBook,
  type KeyHash,
  type NamedKey,
  NO_KEY_BOOK,
  whyRefused
} from '../../keys/key.ts'
import { GatewayError } from '../../shared/errors.ts'
import { kiroKeyName } from '../plane/key-planes.ts'

/** Bytes of a key's digest in its name: enough that no other key has the name, under which a client's data is kept. */
const NAME_BYTES = 16

/** The name of clients where there are no keys. */
export const ANYONE = 'anyone'

/** The holder of the metrics key. */
const METRICS_READER: ClientKey = { name: 'metrics', named: null }

/** The client of a request. */
export interface ClientKey {
  /**
   * Name of the client, the same in all workers and after every start: its data is kept under it, and clients share fairly by it.
   * It does not reveal the key.
   */
  readonly name: string
  /** `null` for the operator's keys, for Kiro keys, and where there are no keys. */
  readonly named: NamedKey | null
}

/** A key that is let in, or told why not. */
interface KnownKey {
  readonly digest: Buffer
  /** `null` for a key of the operator. */
  readonly of: { readonly key: NamedKey; readonly hash: KeyHash } | null
}

export interface AuthenticatorOptions {
  readonly isKeyPassthrough: boolean
  /** Opens the metrics beside the operator's keys. */
  readonly metricsKey?: string | null
  readonly book?: KeyBook
  /** Epoch ms. */
  readonly now?: () => number
}

/**
 * Checks client keys in a time that reveals nothing about them. A given key is looked up by its SHA-256 digest and then
 * compared in constant time. The look-up hashes that digest with the secret seed of this process, and takes equally
 * long for any digest: neither a key's content, nor its length, nor its place among the others shows, and a guess that
 * is close is as far off as any other.
 */
export class Authenticator {
  /** By digest, in hexadecimal. */
  readonly #known: ReadonlyMap<string, KnownKey>
  readonly operatorDigests: readonly Buffer[]
  readonly #book: KeyBook
  readonly #now: () => number
  readonly #ownName: string
  readonly #isKeyPassthrough: boolean
  readonly #metricsKey: Buffer | null

  /** `ownName` is what the gateway is called besides the names of this machine: `SERVER_HOST`. */
  constructor(
    apiKeys: readonly string[],
    ownName = 'localhost',
    options: AuthenticatorOptions = { isKeyPassthrough: false }
  ) {
    const { isKeyPassthrough, metricsKey = null, book = NO_KEY_BOOK, now = Date.now } = options
    this.operatorDigests = apiKeys.map(digestOf)
    const own = this.operatorDigests.map((digest) => ({ digest, of: null }))
    const known: readonly KnownKey[] = [...own, ...book.keys.flatMap(knownKeysOf)]
    this.#known = new Map(known.map((key) => [key.digest.toString('hex'), key]))
    this.#book = book
    this.#now = now
    this.#ownName = ownName.toLowerCase()
    this.#isKeyPassthrough = isKeyPassthrough
    this.#metricsKey = metricsKey === null ? null : digestOf(metricsKey)
  }

  /**
   * The Kiro key that a client brings (`KIRO_KEY_PASSTHROUGH`) and the name of it; `null` where it brings none, or one of the
   * gateway's own. Whether it is good only the upstream knows.
   */
  kiroKeyOf(headers: IncomingHttpHeaders): KiroKey | null {
    if (!this.#isKeyPassthrough) return null
    const given = keysOf(headers)
    if (given.some((key) => this.#find(digestOf(key)) !== null)) return null
    const key = given.find((one) => KIRO_KEY.test(one))
    return key === undefined ? null : { key, name: kiroKeyName(nameOf(digestOf(key))) }
  }

  /**
   * Gives whose request it is. Takes `x-api-key` and `authorization: Bearer`, either or both; one good key is enough, as clients send both
   * when both are configured.
   *
   * @throws {GatewayError} GW_KEY_MISSING, also for foreign web pages and names where there are no keys; GW_KEY_INVALID;
   *   GW_KEY_EXPIRED and GW_KEY_REVOKED for one that was good
   */
  check(headers: IncomingHttpHeaders): ClientKey {
    if (this.isOpen) {
      if (this.#isForeignPage(headers))
        throw new GatewayError('GW_KEY_MISSING', undefined, FOREIGN_PAGE)
      if (this.#isForeignName(headers))
        throw new GatewayError('GW_KEY_MISSING', undefined, FOREIGN_NAME)
      return { name: ANYONE, named: null }
    }
    const given = keysOf(headers)
    if (given.length === 0) throw new GatewayError('GW_KEY_MISSING', undefined, this.#advice)
    let refusal: GatewayError | null = null
    for (const text of given) {
      const digest = digestOf(text)
      const known = this.#find(digest)
      if (known === null) continue
      if (known.of === null) return { name: nameOf(digest), named: null }
      const { key, hash } = known.of
      refusal = refusalOf(key, hash, this.#now())
      if (refusal === null) return { name: key.id, named: key }
    }
    throw refusal ?? new GatewayError('GW_KEY_INVALID', undefined, this.#advice)
  }

  /**
   * Like `check()`, for `/metrics`. If METRICS_KEY is set, a key is always required.
   *
   * @throws {GatewayError} as `check()`; GW_OPERATOR_ONLY for a named key
   */
  checkMetrics(headers: IncomingHttpHeaders): ClientKey {
    const wanted = this.#metricsKey
    if (wanted !== null) {
      const given = keysOf(headers).map(digestOf)
      const fitting = given.filter((digest) => timingSafeEqual(digest, wanted))
      if (fitting.length > 0) return METRICS_READER
      if (this.isOpen)
        throw new GatewayError(given.length > 0 ? 'GW_KEY_INVALID' : 'GW_KEY_MISSING')
    }
    const client = this.check(headers)
    if (client.named !== null) throw new GatewayError('GW_OPERATOR_ONLY')
    return client
  }

  /** Requests need no key. */
  get isOpen(): boolean {
    return this.#known.size === 0 && !this.#isKeyPassthrough && !this.#book.isKeyRequired
  }

  /** Digest of an operator key; `null` for any other key. */
  operatorDigestOf(key: string): Buffer | null {
    const known = this.#find(digestOf(key))
    return known?.of === null ? known.digest : null
  }

  /** Names the keys that are taken beside those of PROXY_API_KEY. */
  get #advice(): { readonly message: string } | undefined {
    if (this.#isKeyPassthrough) return KIRO_KEYS_WANTED
    return this.#book.isKeyRequired ? OWN_KEYS_WANTED : undefined
  }

  #find(digest: Buffer): KnownKey | null {
    const known = this.#known.get(digest.toString('hex'))
    return known !== undefined && timingSafeEqual(digest, known.digest) ? known : null
  }

  /**
   * Any page that is open in a browser may send requests to this machine; without keys it would spend the subscription.
   * A frame without rights of its own says `null`.
   */
  #isForeignPage({ origin = '' }: IncomingHttpHeaders): boolean {
    if (origin === '') return false
    if (origin === 'null') return true
    const page = URL.parse(origin)
    if (page === null || !/^https?:$/.test(page.protocol)) return false // programs have others, or none
    return !this.#isOwn(page.hostname)
  }

  /**
   * To a browser, a page whose owner lets its name point to this machine is at home here: it sends no origin with what
   * it reads, but the name. Old programs send none.
   */
  #isForeignName({ host }: IncomingHttpHeaders): boolean {
    if (host === undefined || USUAL_HOST.test(host)) return false
    const name = URL.parse(`http://${host}`)?.hostname ?? ''
    return !this.#isOwn(name)
  }

  /** Returns whether a host name is ours. `name` is as `URL` gives it: lower case, and addresses in their usual form. */
  #isOwn(name: string): boolean {
    return isOwnMachine(name) || name === this.#ownName
  }
}

/** An API key of Kiro that came with a request. Never stored: what is kept is kept under its name. */
export interface KiroKey {
  readonly key: string
  /** Like those that `check()` gives, and none of them. */
  readonly name: string
}

const KIRO_KEY = /^ksk_[\x21-\x7e]{1,1024}$/

const KIRO_KEYS_WANTED = {
  message:
    'Send your Kiro API key (ksk_…), or a key of PROXY_API_KEY, as "Authorization: Bearer <key>" or "x-api-key: <key>".'
}

const OWN_KEYS_WANTED = {
  message:
    'Ask the gateway\'s operator for a key, and send it as "Authorization: Bearer <key>" or "x-api-key: <key>".'
}

const FOREIGN_PAGE = {
  message:
    'Web pages of other sites may not use a gateway without keys. Set PROXY_API_KEY and send one of its keys.'
}

const FOREIGN_NAME = {
  message:
    'A gateway without keys answers only under a local name such as http://localhost or http://127.0.0.1. Use one of these, or set PROXY_API_KEY and send one of its keys.'
}

/** Usual names of this machine, which need no parsing by `URL`. */
const USUAL_HOST = /^(?:localhost|127\.0\.0\.1)(?::\d{1,5})?$/

/** `localhost`, below it or with the dot of the root, and the loopback addresses; not what only begins like them. */
function isOwnMachine(name: string): boolean {
  if (name === '[::1]' || /(^|\.)localhost\.?$/.test(name)) return true
  return isIPv4(name) && name.startsWith('127.')
}

function keysOf(headers: IncomingHttpHeaders): readonly string[] {
  const keys: string[] = []
  const apiKey = headers['x-api-key']
  if (typeof apiKey === 'string' && apiKey !== '') keys.push(apiKey)
  const [scheme = '', token = ''] = headers.authorization?.trim().split(/\s+/, 2) ?? []
  if (scheme.toLowerCase() === 'bearer' && token !== '') keys.push(token)
  return keys
}

function knownKeysOf(key: NamedKey): readonly KnownKey[] {
  return key.hashes.map((hash) => ({
    digest: Buffer.from(hash.sha256, 'hex'),
    of: { key, hash }
  }))
}

/** Told only to those who have the key. */
function refusalOf(key: NamedKey, { until }: KeyHash, now: number): GatewayError | null {
  const { name, expiresAt, revokedAt } = key
  const detail = `key ${name}`
  const why = whyRefused(key, now)
  if (why === 'revoked') {
    const message = `The API key of "${name}" was revoked${dayOf(revokedAt)}. Ask the operator of this gateway for another.`
    return new GatewayError('GW_KEY_REVOKED', detail, { message })
  }
  if (why === 'expired') {
    const message = `The API key of "${name}" has expired${dayOf(expiresAt)}. Ask the operator of this gateway to extend it.`
    return new GatewayError('GW_KEY_EXPIRED', detail, { message })
  }
  if (until === null || until > now) return null
  const message = `This API key of "${name}" was replaced by a newer one${dayOf(until)}.`
  return new GatewayError('GW_KEY_EXPIRED', detail, { message })
}

function dayOf(at: number | null): string {
  return at === null ? '' : ` on ${new Date(at).toISOString().slice(0, 10)}`
}

function nameOf(digest: Buffer): string {
  return digest.toString('hex', 0, NAME_BYTES)
}

function digestOf(key: string): Buffer {
  return hashOf('sha256', key, 'buffer')
}

const ACCEPTABLE = /^[A-Za-z0-9._:-]{1,128}$/

/** The id that the client gave its request, if it is fit for logs and headers, else a new one. */
export function requestIdOf(given: string | readonly string[] | undefined): string {
  if (typeof given === 'string' && ACCEPTABLE.test(given)) return given
  return `req_${randomUUID().replaceAll('-', '')}`
}

const WEBSOCKET = /\bwebsocket\b/i

/**
 * Refuses to speak WebSocket, whatever the path and before any other check: Codex asks for it first, goes on over HTTP
 * at once when it reads 426, and comes back for seconds after any other status.
 *
 * @throws {GatewayError} GW_UPGRADE_REFUSED
 */
export function refuseWebSocket({ headers }: IncomingMessage, response: ServerResponse): void {
  if (!WEBSOCKET.test(headers.upgrade ?? '')) return
  response.setHeader('upgrade', 'HTTP/1.1') // RFC 9110 §15.5.22 wants to know what else is spoken
  response.setHeader('connection', 'upgrade, close')
  throw new GatewayError('GW_UPGRADE_REFUSED')
}

import { hash as hashOf, randomUUID, timingSafeEqual } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { type DigestsOf, OPERATOR } from '../../dashboard/session.ts'
import type { AccessCheck } from '../../devices/access-check.ts'
import {
  type KnownKeys,
  type KeyHash,
  type NamedKey,
  NO_KNOWN_KEYS,
  whyRefused
} from '../../keys/key.ts'
import { asGatewayError, GatewayError } from '../../shared/errors.ts'
import { isOnThisMachine } from '../../shared/loopback.ts'
import { kiroKeyName } from '../primary/key-trials.ts'

const NAME_BYTES = 16

export const ANYONE = 'anyone'

const METRICS_READER: ClientKey = { name: 'metrics', named: null }

export interface ClientKey {
  /** Id under which data is stored, equal in all workers and after restarts. Does not reveal the key. */
  readonly name: string
  /** `null` for the operator's keys, for Kiro keys, and without keys. */
  readonly named: NamedKey | null
}

interface KnownKey {
  readonly digest: Buffer
  readonly of: { readonly key: NamedKey; readonly hash: KeyHash } | null
}

export interface SessionKey {
  /** `OPERATOR`, or the id of a named key. */
  readonly subject: string
  readonly digest: Buffer
}

export interface AuthenticatorOptions {
  readonly isKeyPassthrough: boolean
  /** Opens the metrics besides the operator's keys. */
  readonly metricsKey?: string | null
  readonly knownKeys?: KnownKeys
  /** Checks access tokens of devices; `null` if they cannot sign in. */
  readonly devices?: Pick<AccessCheck, 'check'> | null
  /** Epoch ms. */
  readonly now?: () => number
}

/**
 * Checks client keys without revealing them by timing: looks up the SHA-256 digest, hashed with a secret
 * seed of this process, then compares in constant time. Content, length and place of a key do not show.
 */
export class Authenticator {
  readonly #known: ReadonlyMap<string, KnownKey>
  readonly operatorDigests: readonly Buffer[]
  readonly #knownKeys: KnownKeys
  readonly #devices: AuthenticatorOptions['devices']
  readonly #now: () => number
  readonly #ownName: string
  readonly #isKeyPassthrough: boolean
  readonly #metricsKey: Buffer | null
  /** Every client may use the gateway. */
  readonly isOpen: boolean
  readonly #advice: Advice | null

  /** `ownName`: `SERVER_HOST`, accepted besides the usual names of this machine. */
  constructor(
    apiKeys: readonly string[],
    ownName = 'localhost',
    options: AuthenticatorOptions = { isKeyPassthrough: false }
  ) {
    const {
      isKeyPassthrough,
      metricsKey = null,
      knownKeys = NO_KNOWN_KEYS,
      devices = null,
      now = Date.now
    } = options
    this.operatorDigests = apiKeys.map(digestOf)
    const own = this.operatorDigests.map((digest) => ({ digest, of: null }))
    const known: readonly KnownKey[] = [...own, ...knownKeys.keys.flatMap(knownKeysOf)]
    this.#known = new Map(known.map((key) => [key.digest.toString('hex'), key]))
    this.#knownKeys = knownKeys
    this.#devices = devices
    this.#now = now
    this.#ownName = ownName.toLowerCase()
    this.#isKeyPassthrough = isKeyPassthrough
    this.#metricsKey = metricsKey === null ? null : digestOf(metricsKey)
    this.isOpen = this.#known.size === 0 && !isKeyPassthrough && !knownKeys.isKeyRequired
    const advice = knownKeys.isKeyRequired ? OWN_KEYS_WANTED : null
    this.#advice = isKeyPassthrough ? KIRO_KEYS_WANTED : advice
  }

  /** `null` if the client sends none, or a key of the gateway's. Only the upstream knows whether it is good. */
  kiroKeyOf(headers: IncomingHttpHeaders): KiroKey | null {
    if (!this.#isKeyPassthrough) return null
    const given = keysOf(headers)
    if (given.some((key) => this.#find(digestOf(key)) !== null || this.#isToken(key))) return null
    const key = given.find((one) => KIRO_KEY.test(one))
    return key === undefined ? null : { key, name: kiroKeyName(nameOf(digestOf(key))) }
  }

  /**
   * One good key of `x-api-key` and `authorization: Bearer` is enough, as clients send both when both are
   * configured.
   * @throws {GatewayError} GW_KEY_MISSING, without keys also for foreign web pages and host names;
   * GW_KEY_INVALID; GW_KEY_EXPIRED and GW_KEY_REVOKED for a former key; GW_TOKEN_EXPIRED and GW_TOKEN_ENDED
   * for an access token
   */
  check(headers: IncomingHttpHeaders, advice: Advice | null = this.#advice): ClientKey {
    if (this.isOpen) {
      if (this.#isForeignPage(headers))
        throw new GatewayError('GW_KEY_MISSING', undefined, FOREIGN_PAGE)
      if (this.#isForeignName(headers))
        throw new GatewayError('GW_KEY_MISSING', undefined, FOREIGN_NAME)
      return { name: ANYONE, named: null }
    }
    const given = keysOf(headers)
    if (given.length === 0) throw new GatewayError('GW_KEY_MISSING', undefined, advice ?? {})
    let refusal: GatewayError | null = null
    for (const text of given) {
      const digest = digestOf(text)
      const known = this.#find(digest)
      if (known === null) {
        const client = this.#ofToken(text)
        if (client === null) continue
        if (!(client instanceof GatewayError)) return client
        refusal = client
        continue
      }
      if (known.of === null) return { name: nameOf(digest), named: null }
      const { key, hash } = known.of
      refusal = refusalOf(key, hash, this.#now())
      if (refusal === null) return { name: key.id, named: key }
    }
    throw refusal ?? new GatewayError('GW_KEY_INVALID', undefined, advice ?? {})
  }

  /** Returns why a client that was let in before would be refused now; `null` if it would not. */
  problemOf(headers: IncomingHttpHeaders): GatewayError | null {
    try {
      if (this.kiroKeyOf(headers) === null) this.check(headers)
      return null
    } catch (cause) {
      return asGatewayError(cause)
    }
  }

  /** @throws {GatewayError} as `check()`; GW_OPERATOR_ONLY for a named key */
  checkOperator(headers: IncomingHttpHeaders, advice: Advice | null = null): ClientKey {
    const client = this.check(headers, advice)
    if (client.named !== null) throw new GatewayError('GW_OPERATOR_ONLY')
    return client
  }

  /** If METRICS_KEY is set, a key is always required. @throws {GatewayError} as `checkOperator()` */
  checkMetrics(headers: IncomingHttpHeaders): ClientKey {
    const wanted = this.#metricsKey
    if (wanted === null) return this.checkOperator(headers)
    const given = keysOf(headers).map(digestOf)
    if (given.some((digest) => timingSafeEqual(digest, wanted))) return METRICS_READER
    const advice = this.operatorDigests.length === 0 ? METRICS_KEY_WANTED : SOME_METRICS_KEY_WANTED
    if (!this.isOpen) return this.checkOperator(headers, advice)
    throw new GatewayError(
      given.length > 0 ? 'GW_KEY_INVALID' : 'GW_KEY_MISSING',
      undefined,
      advice
    )
  }

  #isToken(text: string): boolean {
    const verdict = this.#devices?.check(text)
    return verdict !== undefined && verdict.name !== 'unknown'
  }

  /** Returns the client of an access token, or why it is refused; `null` for other texts. */
  #ofToken(text: string): ClientKey | GatewayError | null {
    const verdict = this.#devices?.check(text) ?? UNKNOWN
    switch (verdict.name) {
      case 'unknown':
        return null
      case 'expired':
        return new GatewayError('GW_TOKEN_EXPIRED')
      case 'ended':
        return new GatewayError('GW_TOKEN_ENDED')
      case 'good': {
        const named = this.namedKey(verdict.key)
        if (named === null) return new GatewayError('GW_TOKEN_ENDED')
        return refusalOf(named, CURRENT, this.#now()) ?? { name: named.id, named }
      }
    }
  }

  /** True if there are keys to sign in with. */
  get hasKeys(): boolean {
    return this.#known.size > 0
  }

  /** Returns whose session a key may begin; `null` if it is not in force. */
  sessionKeyOf(key: string): SessionKey | null {
    const known = this.#find(digestOf(key))
    if (known === null) return null
    if (known.of === null) return { subject: OPERATOR, digest: known.digest }
    const { key: named, hash } = known.of
    const isGood = refusalOf(named, hash, this.#now()) === null
    return isGood ? { subject: named.id, digest: known.digest } : null
  }

  readonly digestsOf: DigestsOf = (subject) => {
    if (subject === OPERATOR) return this.operatorDigests
    const now = this.#now()
    const key = this.namedKey(subject)
    if (key === null) return []
    const good = key.hashes.filter((hash) => refusalOf(key, hash, now) === null)
    return good.map(({ sha256 }) => Buffer.from(sha256, 'hex'))
  }

  namedKey(id: string): NamedKey | null {
    return this.#knownKeys.keys.find((key) => key.id === id) ?? null
  }

  #find(digest: Buffer): KnownKey | null {
    const known = this.#known.get(digest.toString('hex'))
    return known !== undefined && timingSafeEqual(digest, known.digest) ? known : null
  }

  /**
   * A page in a browser may send requests to this machine, and spend the subscription. A sandboxed frame
   * says `null`.
   */
  #isForeignPage({ origin = '' }: IncomingHttpHeaders): boolean {
    if (origin === '') return false
    if (origin === 'null') return true
    const page = URL.parse(origin)
    if (page === null || !/^https?:$/.test(page.protocol)) return false // programs have others, or none
    return !this.#isOwn(page.hostname)
  }

  /** A page whose owner points its host name to this machine sends no origin with reads, but that name. */
  #isForeignName({ host }: IncomingHttpHeaders): boolean {
    if (host === undefined || USUAL_HOST.test(host)) return false
    const name = URL.parse(`http://${host}`)?.hostname ?? ''
    return !this.#isOwn(name)
  }

  #isOwn(name: string): boolean {
    return isOnThisMachine(name) || name === this.#ownName
  }
}

/** A client's own key of Kiro. Never stored; data is stored under its name. */
export interface KiroKey {
  readonly key: string
  readonly name: string
}

const KIRO_KEY = /^ksk_[\x21-\x7e]{1,1024}$/

export interface Advice {
  readonly message: string
}

const METRICS_KEY_WANTED = {
  message:
    'This page needs the key of METRICS_KEY. Send it as "Authorization: Bearer <key>" or "x-api-key: <key>".'
}

const SOME_METRICS_KEY_WANTED = {
  message:
    'This page needs the key of METRICS_KEY, or one of PROXY_API_KEY. Send it as "Authorization: Bearer <key>" or "x-api-key: <key>".'
}

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

const USUAL_HOST = /^(?:localhost|127\.0\.0\.1)(?::\d{1,5})?$/

export function hasKey(headers: IncomingHttpHeaders): boolean {
  return keysOf(headers).length > 0
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

const UNKNOWN = { name: 'unknown' } as const

/** An access token names the key, whichever secret it has. */
const CURRENT = { until: null } as const

/** Reasons that only holders of the key are told. */
function refusalOf(
  key: NamedKey,
  { until }: Pick<KeyHash, 'until'>,
  now: number
): GatewayError | null {
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

export function requestIdOf(given: string | readonly string[] | undefined): string {
  if (typeof given === 'string' && ACCEPTABLE.test(given)) return given
  return `req_${randomUUID().replaceAll('-', '')}`
}

const WEBSOCKET = /\bwebsocket\b/i

export function wantsWebSocket({ headers }: IncomingMessage): boolean {
  return WEBSOCKET.test(headers.upgrade ?? '')
}

/** True for a WebSocket handshake out of which a proxy has taken the upgrade, as nginx does if it is not told otherwise. */
export function hasLostUpgrade({ method, headers }: IncomingMessage): boolean {
  return (
    method === 'GET' &&
    headers.upgrade === undefined &&
    headers['sec-websocket-key'] !== undefined &&
    headers['sec-websocket-version'] !== undefined
  )
}

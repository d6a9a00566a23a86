import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'
import { EndedSessions } from './ended-sessions.ts'

const COOKIE = 'kiro_gateway_session'
export const SESSION_MS = 12 * 3_600_000
/** Clocks of a fleet differ by minutes, and each of its gateways takes the sessions of the others. */
const CLOCKS_MS = 5 * 60_000
const VALUE = /^2\.([0-9a-z]{6,12})\.([\w-]{22})\.([\w-]{1,600})\.([\w-]{43})$/
/** Subject of a page that is open without keys, for its form token. */
const NOBODY = 'open'
/** Further cookies of this name are ignored: another path or domain may have set some. */
const MAX_LOOKED_AT = 4

export interface Session {
  readonly id: string
  /** Epoch ms. */
  readonly expiresAt: number
  /** `operator`, the id of a named key, or a user whom a provider has signed in (`oidcSubject()`). */
  readonly subject: string
  /** Digest of the key that has begun it. */
  readonly digest: Buffer
  /** Form token: each change that the page asks for carries it. */
  readonly csrf: string
}

export const OPERATOR = 'operator'

/** Digests of a subject's keys in force: a session ends with the key that began it. */
export type DigestsOf = (subject: string) => readonly Buffer[]

/**
 * Sessions of pages, stored only in cookies: subject and expiry, signed with the gateway's secret and the
 * subject's key.
 */
export class Sessions {
  readonly ended = new EndedSessions()
  readonly #secret: Buffer
  readonly #now: () => number

  /** `secret` is hexadecimal; `now` returns epoch ms. */
  constructor(secret: string, now: () => number = Date.now) {
    this.#secret = Buffer.from(secret, 'hex')
    this.#now = now
  }

  begin(subject: string, digest: Buffer, isSecure: boolean): Session & { readonly cookie: string } {
    const expiresAt = this.#now() + SESSION_MS
    const nonce = randomBytes(16).toString('base64url')
    const claim = `2.${expiresAt.toString(36)}.${nonce}.${subject}`
    const value = `${claim}.${this.#sign(claim, digest).toString('base64url')}`
    return {
      id: nonce,
      expiresAt,
      subject,
      digest,
      csrf: this.#csrfOf(value),
      cookie: cookieOf(value, SESSION_MS / 1000, isSecure)
    }
  }

  find(cookies: string | undefined, digestsOf: DigestsOf): Session | null {
    for (const value of cookieValues(cookies, COOKIE)) {
      const [, until = '', nonce = '', subject = '', signature = ''] = VALUE.exec(value) ?? []
      const expiresAt = Number.parseInt(until, 36)
      const now = this.#now()
      // A longer one was not made here.
      if (!(expiresAt > now && expiresAt <= now + SESSION_MS + CLOCKS_MS) || this.ended.has(nonce))
        continue
      const given = Buffer.from(signature, 'base64url')
      const claim = `2.${until}.${nonce}.${subject}`
      let own: Buffer | null = null
      for (const digest of digestsOf(subject)) {
        const wanted = this.#sign(claim, digest)
        if (given.byteLength === wanted.byteLength && timingSafeEqual(given, wanted)) own = digest
      }
      if (own !== null)
        return { id: nonce, expiresAt, subject, digest: own, csrf: this.#csrfOf(value) }
    }
    return null
  }

  /** Form token of a page that needs no session, as there are no keys. */
  get openCsrf(): string {
    return this.#csrfOf(NOBODY)
  }

  /** Form token of a user whom a proxy has signed in. */
  csrfOfUser(name: string): string {
    return this.#csrfOf(`user ${name}`)
  }

  /** Signature of a text that another cookie holds. */
  sealOf(text: string): Buffer {
    return createHmac('sha256', this.#secret).update('seal\0').update(text).digest()
  }

  #sign(claim: string, digest: Buffer): Buffer {
    return createHmac('sha256', this.#secret).update(claim).update('\0').update(digest).digest()
  }

  #csrfOf(session: string): string {
    return createHmac('sha256', this.#secret).update('csrf\0').update(session).digest('base64url')
  }
}

export function isSameToken(given: unknown, wanted: string): boolean {
  if (typeof given !== 'string') return false
  const [one, other] = [Buffer.from(given), Buffer.from(wanted)]
  return one.byteLength === other.byteLength && timingSafeEqual(one, other)
}

/** Ends also a session that began before the name of its cookie had a prefix. */
export function endOfSession(isSecure: boolean): readonly string[] {
  return isSecure ? [cookieOf('', 0, true), cookieOf('', 0, false)] : [cookieOf('', 0, false)]
}

/** Hexadecimal. */
export function newSessionSecret(): string {
  return randomBytes(32).toString('hex')
}

function cookieOf(value: string, maxAgeS: number, isSecure: boolean): string {
  return cookieText({ name: COOKIE, value, maxAgeS, sameSite: 'Strict', isSecure })
}

export interface CookieFacts {
  readonly name: string
  readonly value: string
  readonly maxAgeS: number
  readonly sameSite: 'Strict' | 'Lax'
  readonly isSecure: boolean
}

/** Browsers take a cookie of such a name only over TLS, from this very host and for all of its paths. */
const HOST_PREFIX = '__Host-'

/**
 * A cookie that no script of a page can read, nor another host of the domain set, where there is TLS. For all paths, as
 * the gateway need not know below which one a proxy serves it.
 */
export function cookieText(facts: CookieFacts): string {
  const { name, value, maxAgeS, sameSite, isSecure } = facts
  const rest = `Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=${sameSite}`
  if (isSecure) return `${HOST_PREFIX}${name}=${value}; ${rest}; Secure`
  return `${name}=${value}; ${rest}`
}

/** Values of the cookies with that name; those with the prefix alone where there are any, as others may have set the rest. */
export function cookieValues(cookies: string | undefined, name: string): readonly string[] {
  const own = (cookies ?? '').split(';').map((one) => one.trim())
  const valuesOf = (full: string): readonly string[] =>
    own
      .filter((one) => one.startsWith(`${full}=`))
      .slice(0, MAX_LOOKED_AT)
      .map((one) => one.slice(full.length + 1))
  const sure = valuesOf(HOST_PREFIX + name)
  return sure.length > 0 ? sure : valuesOf(name)
}

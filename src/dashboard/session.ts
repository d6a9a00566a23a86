import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto'

const COOKIE = 'kiro_gateway_session'
const SESSION_MS = 12 * 3_600_000
const VALUE = /^1\.([0-9a-z]{6,12})\.([\w-]{22})\.([\w-]{43})$/
/** Further cookies of this name are ignored: another path or domain may have set some. */
const MAX_LOOKED_AT = 4

export interface Session {
  /** Epoch ms. */
  readonly expiresAt: number
}

/** Dashboard sessions, stored only in cookies: an expiry, signed with the gateway's secret and the operator's key. */
export class Sessions {
  readonly #secret: Buffer
  readonly #now: () => number

  /** `secret` is hexadecimal; `now` returns epoch ms. */
  constructor(secret: string, now: () => number = Date.now) {
    this.#secret = Buffer.from(secret, 'hex')
    this.#now = now
  }

  begin(digest: Buffer, isSecure: boolean): Session & { readonly cookie: string } {
    const expiresAt = this.#now() + SESSION_MS
    const claim = `1.${expiresAt.toString(36)}.${randomBytes(16).toString('base64url')}`
    const value = `${claim}.${this.#sign(claim, digest).toString('base64url')}`
    return { expiresAt, cookie: cookieOf(value, SESSION_MS / 1000, isSecure) }
  }

  /** `digests` are those of the keys in force. */
  find(cookies: string | undefined, digests: readonly Buffer[]): Session | null {
    for (const value of valuesIn(cookies ?? '')) {
      const [, until = '', nonce = '', signature = ''] = VALUE.exec(value) ?? []
      const expiresAt = Number.parseInt(until, 36)
      const now = this.#now()
      // A longer one was not made here.
      if (!(expiresAt > now && expiresAt <= now + SESSION_MS)) continue
      const given = Buffer.from(signature, 'base64url')
      const claim = `1.${until}.${nonce}`
      let isGood = false
      for (const digest of digests) {
        const wanted = this.#sign(claim, digest)
        if (given.byteLength === wanted.byteLength && timingSafeEqual(given, wanted)) isGood = true
      }
      if (isGood) return { expiresAt }
    }
    return null
  }

  #sign(claim: string, digest: Buffer): Buffer {
    return createHmac('sha256', this.#secret).update(claim).update('\0').update(digest).digest()
  }
}

export function endOfSession(isSecure: boolean): string {
  return cookieOf('', 0, isSecure)
}

/** Hexadecimal. */
export function newSessionSecret(): string {
  return randomBytes(32).toString('hex')
}

function cookieOf(value: string, maxAgeS: number, isSecure: boolean): string {
  const secure = isSecure ? '; Secure' : ''
  return `${COOKIE}=${value}; Path=/; Max-Age=${maxAgeS}; HttpOnly; SameSite=Strict${secure}`
}

function valuesIn(cookies: string): readonly string[] {
  const own = cookies.split(';').map((one) => one.trim())
  return own
    .filter((one) => one.startsWith(`${COOKIE}=`))
    .slice(0, MAX_LOOKED_AT)
    .map((one) => one.slice(COOKIE.length + 1))
}

import { timingSafeEqual } from 'node:crypto'
import { cookieText, cookieValues, type Sessions } from './session.ts'

const COOKIE = 'kiro_gateway_oidc'
/** Time for signing in at the provider. */
const TRIP_MS = 600_000
const VALUE =
  /^2\.([0-9a-z]{6,12})\.([\w-]{20,64})\.([\w-]{20,64})\.([\w-]{20,128})\.([A-Z]{0,16})\.([\w-]{43})$/

interface TripFacts {
  readonly state: string
  readonly nonce: string
  readonly verifier: string
  /** User code of the device that the sign-in was begun for; empty if it was begun for the panel. */
  readonly device: string
}

/** Sign-ins under way at the provider, each stored only in a signed cookie of its browser. */
export class OidcTrips {
  readonly #sessions: Pick<Sessions, 'sealOf'>
  readonly #now: () => number

  /** `now` returns epoch ms. */
  constructor(sessions: Pick<Sessions, 'sealOf'>, now: () => number = Date.now) {
    this.#sessions = sessions
    this.#now = now
  }

  /** Returns the cookie. */
  begin({ state, nonce, verifier, device }: TripFacts, isSecure: boolean): string {
    const claim = `2.${(this.#now() + TRIP_MS).toString(36)}.${state}.${nonce}.${verifier}.${device}`
    const value = `${claim}.${this.#sessions.sealOf(claim).toString('base64url')}`
    return tripCookie(value, TRIP_MS / 1000, isSecure)
  }

  find(cookies: string | undefined): TripFacts | null {
    for (const value of cookieValues(cookies, COOKIE)) {
      const [, until = '', state = '', nonce = '', verifier = '', device = '', signature = ''] =
        VALUE.exec(value) ?? []
      const wanted = this.#sessions.sealOf(`2.${until}.${state}.${nonce}.${verifier}.${device}`)
      const given = Buffer.from(signature, 'base64url')
      if (given.byteLength !== wanted.byteLength || !timingSafeEqual(given, wanted)) continue
      if (Number.parseInt(until, 36) > this.#now()) return { state, nonce, verifier, device }
    }
    return null
  }
}

export function endOfTrip(isSecure: boolean): string {
  return tripCookie('', 0, isSecure)
}

/** Lax: the browser comes back from the provider, another site. */
function tripCookie(value: string, maxAgeS: number, isSecure: boolean): string {
  return cookieText({
    name: COOKIE,
    value,
    maxAgeS,
    sameSite: 'Lax',
    isSecure
  })
}

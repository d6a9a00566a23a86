import { type JsonObject, parseJsonObject, textMember } from '../../src/shared/json.ts'
import { type JsonAnswer, PROFILE_ARN } from '../../src/simulator/request-handler.ts'

/** Desktop refresh (kiro-protocol §3.5): a used refresh token is 401. */
export function refreshDesktop(body: string, issuer: TokenIssuer): JsonAnswer {
  const refreshToken = textMember(parseJsonObject(body) ?? {}, 'refreshToken')
  if (refreshToken === null) return { status: 400, json: { message: 'refreshToken is required' } }
  const tokens = issuer.exchange(refreshToken)
  if (tokens === null) return { status: 401, json: { message: 'Bad credentials' } }
  return { status: 200, json: { ...tokens, profileArn: PROFILE_ARN } }
}

/** OIDC token endpoint (§3.6): camelCase JSON, a used refresh token is `invalid_grant`. */
export function createToken(body: string, issuer: TokenIssuer): JsonAnswer {
  const request = parseJsonObject(body) ?? {}
  const { grantType } = request
  const refreshToken = textMember(request, 'refreshToken')
  const hasClient = textMember(request, 'clientId') && textMember(request, 'clientSecret')
  if (grantType !== 'refresh_token' || !hasClient || refreshToken === null) {
    const needed = 'grantType refresh_token, clientId, clientSecret and refreshToken are required'
    return oidcError('invalid_request', needed)
  }
  const tokens = issuer.exchange(refreshToken)
  if (tokens === null) return oidcError('invalid_grant', 'Invalid refresh token provided')
  return { status: 200, json: { ...tokens, tokenType: 'Bearer' } }
}

function oidcError(error: string, description: string): JsonAnswer {
  return { status: 400, json: { error, error_description: description } }
}

/** Both maps forget their oldest entries beyond this many. */
const MAX_REMEMBERED = 10_000

/**
 * Swaps refresh tokens. Any refresh token is good once, also one that was never handed out: the
 * simulator has no accounts. `dead-refresh-token` never is.
 */
export class TokenIssuer {
  readonly #lifetimeS: number
  readonly #now: () => number
  readonly #used = new Set<string>(['dead-refresh-token'])
  readonly #expiresAt = new Map<string, number>()
  #issued = 0

  /** An access token is refused after `lifetimeS` seconds; `now` tells milliseconds since the epoch. */
  constructor(lifetimeS: number, now: () => number) {
    this.#lifetimeS = lifetimeS
    this.#now = now
  }

  /** New tokens for a refresh token, or null when it was used before. */
  exchange(refreshToken: string): JsonObject | null {
    if (this.#used.has(refreshToken)) return null
    this.#used.add(refreshToken)
    this.#issued++
    const accessToken = `sim-access-${this.#issued}`
    this.#expiresAt.set(accessToken, this.#now() + this.#lifetimeS * 1000)
    this.#forgetOldest()
    // Long enough for clients that take a short token for one that was cut when it was copied.
    const next = `sim-refresh-${this.#issued}`.padEnd(128, '-0123456789')
    return { accessToken, refreshToken: next, expiresIn: this.#lifetimeS }
  }

  /** Whether `accessToken` was issued here and has had its time. */
  isExpired(accessToken: string): boolean {
    const expiresAt = this.#expiresAt.get(accessToken)
    return expiresAt !== undefined && expiresAt <= this.#now()
  }

  #forgetOldest(): void {
    for (const remembered of [this.#used, this.#expiresAt]) {
      const [oldest] = remembered.keys()
      if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest)
    }
  }
}

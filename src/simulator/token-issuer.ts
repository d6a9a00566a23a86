/** Both maps forget their oldest entries beyond this many. */
const MAX_REMEMBERED = 10_000

export interface IssuedTokens {
  readonly accessToken: string
  readonly refreshToken: string
  /** Seconds. */
  readonly expiresIn: number
}

export interface TokenIssuerOptions {
  /** Seconds until an access token is refused. */
  readonly lifetimeS: number
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/**
 * Swaps refresh tokens. Any refresh token is good once, also one that was never handed out: the
 * simulator has no accounts. `dead-refresh-token` never is.
 */
export class TokenIssuer {
  readonly #options: TokenIssuerOptions
  readonly #used = new Set<string>(['dead-refresh-token'])
  readonly #expiresAt = new Map<string, number>()
  #issued = 0

  constructor(options: TokenIssuerOptions) {
    this.#options = options
  }

  /** New tokens for a refresh token, or null when it was used before. */
  exchange(refreshToken: string): IssuedTokens | null {
    if (this.#used.has(refreshToken)) return null
    this.#used.add(refreshToken)
    this.#issued++
    const accessToken = `sim-access-${this.#issued}`
    const { lifetimeS, now } = this.#options
    this.#expiresAt.set(accessToken, now() + lifetimeS * 1000)
    this.#forgetOldest()
    // Long enough for clients that take a short token for one that was cut when it was copied.
    const next = `sim-refresh-${this.#issued}`.padEnd(128, '-0123456789')
    return { accessToken, refreshToken: next, expiresIn: lifetimeS }
  }

  /** Whether `accessToken` was issued here and has had its time. */
  isExpired(accessToken: string): boolean {
    const expiresAt = this.#expiresAt.get(accessToken)
    return expiresAt !== undefined && expiresAt <= this.#options.now()
  }

  #forgetOldest(): void {
    for (const remembered of [this.#used, this.#expiresAt]) {
      const [oldest] = remembered.keys()
      if (remembered.size > MAX_REMEMBERED && oldest !== undefined) remembered.delete(oldest)
    }
  }
}

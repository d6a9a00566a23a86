import { DEVICE_LIMITS } from './device-limits.ts'
import { ACCESS_PREFIX, issuedAt, readAccessToken } from './device-secrets.ts'

/** Facts with which workers check access tokens by themselves. */
export interface DeviceNews {
  /** `null` before the first sign-in. */
  readonly secret: string | null
  /** Ids of sign-ins that have ended, as far as a token of theirs may not have expired. Bounded by `DEVICE_LIMITS.ended`. */
  readonly ended: readonly string[]
  /** Epoch ms: tokens issued up to then are refused. */
  readonly refusedUntil: number
}

export const NO_DEVICES: DeviceNews = { secret: null, ended: [], refusedUntil: 0 }

export type AccessVerdict =
  | { readonly name: 'good'; readonly key: string; readonly device: string }
  | { readonly name: 'expired' }
  | { readonly name: 'ended' }
  /** No access token of this gateway. */
  | { readonly name: 'unknown' }

/** Checks access tokens without asking the primary. */
export class AccessCheck {
  readonly #now: () => number
  #secret: string | null = null
  #ended: ReadonlySet<string> = new Set()
  #refusedUntil = 0

  /** `now` returns epoch ms. */
  constructor(news: DeviceNews = NO_DEVICES, now: () => number = Date.now) {
    this.#now = now
    this.onNews(news)
  }

  /** Signs device codes and refresh tokens, too; `null` before the first sign-in. */
  get secret(): string | null {
    return this.#secret
  }

  onNews({ secret, ended, refusedUntil }: DeviceNews): void {
    this.#secret = secret
    this.#ended = new Set(ended)
    this.#refusedUntil = refusedUntil
  }

  check(text: string): AccessVerdict {
    if (this.#secret === null || !text.startsWith(ACCESS_PREFIX)) return { name: 'unknown' }
    const facts = readAccessToken(this.#secret, text)
    if (facts === null) return { name: 'unknown' }
    const { key, device, expiresAt } = facts
    const { accessMs, skewMs } = DEVICE_LIMITS
    const leftMs = expiresAt - this.#now()
    // A token that lasts longer than any was made before the clock was set back.
    if (leftMs <= 0 || leftMs > accessMs + skewMs) return { name: 'expired' }
    if (this.#ended.has(device)) return { name: 'ended' }
    if (issuedAt(facts) <= this.#refusedUntil) return { name: 'expired' }
    return { name: 'good', key, device }
  }
}

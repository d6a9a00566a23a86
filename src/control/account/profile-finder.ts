import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import {
  bearerHeaders,
  type HostOverrides,
  isProfileArn,
  managementUrl,
  regionsToAsk,
  resolveApiRegion
} from '../../kiro/wire/hosts.ts'
import type { Logger } from '../../observe/logger.ts'
import { asJsonObject, textMember } from '../../shared/json.ts'
import { findKeyRegion, hasOpenRegion } from '../../upstream/call/account-calls.ts'
import { type JsonCall, jsonObjectOf } from '../../upstream/call/json-exchange.ts'

export interface ProfileFinderOptions {
  readonly call: JsonCall
  readonly upstream: HostOverrides & { readonly userAgent: string }
  readonly log: Logger
  /** `KIRO_API_REGION`: a key's region is then known. */
  readonly apiRegion?: string | null
}

const CALL_TIMEOUT_MS = 10_000

/** Finds organisations' profile ARN (kiro-protocol §3.9, E4) and the region of API keys (§1.4). */
export class ProfileFinder {
  readonly #options: ProfileFinderOptions
  /** By account; constant while we run. Bounded by the operator's sign-ins. */
  readonly #found = new Map<string, string>()
  /** By account. Bounded by the operator's sign-ins. */
  readonly #regions = new Map<string, string>()

  constructor(options: ProfileFinderOptions) {
    this.#options = options
  }

  isIncomplete(snapshot: CredentialSnapshot): boolean {
    const isAtHome = this.#regions.has(snapshot.id)
    return this.needsProfile(snapshot) || (this.#needsRegion(snapshot) && !isAtHome)
  }

  needsProfile({ authType, profileArn }: CredentialSnapshot): boolean {
    return profileArn === null && (authType === 'idc' || authType === 'external-idp')
  }

  complete(snapshot: CredentialSnapshot): CredentialSnapshot {
    const apiRegion = this.#regions.get(snapshot.id)
    if (apiRegion !== undefined && this.#needsRegion(snapshot)) return { ...snapshot, apiRegion }
    const profileArn = this.needsProfile(snapshot) ? this.#found.get(snapshot.id) : undefined
    if (profileArn === undefined) return snapshot
    return {
      ...snapshot,
      profileArn,
      apiRegion: resolveApiRegion({ explicit: null, profileArn, ssoRegion: null })
    }
  }

  /** Asks for the account's profiles, its own region first. `unknown` if a region could not be asked: try again. */
  async find(
    snapshot: CredentialSnapshot,
    signal: AbortSignal
  ): Promise<'found' | 'none' | 'unknown'> {
    const { log } = this.#options
    if (this.#needsRegion(snapshot)) return this.#findRegion(snapshot, signal)
    let outcome: 'none' | 'unknown' = 'none'
    for (const apiRegion of regionsToAsk(snapshot.apiRegion)) {
      try {
        const profileArn = await this.#ask({ ...snapshot, apiRegion }, signal)
        if (profileArn === null) continue
        this.#found.set(snapshot.id, profileArn)
        log.info({ apiRegion }, 'profile found')
        return 'found'
      } catch (err) {
        if (signal.aborted) return 'unknown'
        log.warn({ err, apiRegion }, 'the profiles of this account cannot be listed')
        outcome = 'unknown'
      }
    }
    if (outcome === 'none') log.error('no profile found for this account, set PROFILE_ARN')
    return outcome
  }

  #needsRegion({ authType }: CredentialSnapshot): boolean {
    const { apiRegion = null, upstream } = this.#options
    return authType === 'api-key' && apiRegion === null && hasOpenRegion(upstream)
  }

  async #findRegion(
    snapshot: CredentialSnapshot,
    signal: AbortSignal
  ): Promise<'found' | 'unknown'> {
    const { call, upstream, log } = this.#options
    const found = await findKeyRegion({ call, upstream, snapshot, signal })
    if (found === null) return 'unknown'
    const { region: apiRegion } = found
    this.#regions.set(snapshot.id, apiRegion)
    log.info({ apiRegion }, 'region of the API key found')
    return 'found'
  }

  async #ask(snapshot: CredentialSnapshot, signal: AbortSignal): Promise<string | null> {
    const { call, upstream } = this.#options
    const response = await call(
      {
        method: 'POST',
        url: `${managementUrl(snapshot, upstream)}/List-Available-Profiles`,
        headers: {
          ...bearerHeaders(snapshot, upstream.userAgent),
          'content-type': 'application/json'
        },
        body: '{}',
        timeoutMs: CALL_TIMEOUT_MS
      },
      signal
    )
    const { status } = response
    if (status === 429 || status >= 500) throw new Error(`profiles answered with status ${status}`)
    // 403 means that the account is not of this region.
    if (status !== 200) return null
    const profiles: unknown = jsonObjectOf(response)?.['profiles']
    if (!Array.isArray(profiles)) return null
    const arns = profiles.map((profile) => textMember(asJsonObject(profile) ?? {}, 'arn'))
    return arns.find((arn) => arn !== null && isProfileArn(arn)) ?? null
  }
}

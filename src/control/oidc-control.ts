import type { Config } from '../config/settings.ts'
import type { OidcAnswer, OidcCall } from '../ipc/oidc.ts'
import type { Logger } from '../observe/logger.ts'
import type { OidcFlow } from './oidc/oidc-flow.ts'
import { SideLane } from '../upstream/call/side-lane.ts'

export interface OidcControlOptions {
  readonly config: () => Config
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
}

/** Codes that the provider is asked about; a further one is refused. All other steps share one question to it. */
const MAX_AT_ONCE = 16

/** The sign-in of operators by OpenID Connect. Its library is loaded with the first step. */
export class OidcControl {
  readonly #options: OidcControlOptions
  readonly #lane: SideLane
  #loading: Promise<OidcFlow> | null = null
  #underWay = 0

  constructor(options: OidcControlOptions) {
    this.#options = options
    this.#lane = new SideLane(options.config(), MAX_AT_ONCE)
  }

  async close(): Promise<void> {
    await this.#lane.close()
  }

  /** Never rejects. */
  async answer(call: OidcCall): Promise<OidcAnswer> {
    const isCode = call.name === 'finish'
    if (isCode && this.#underWay >= MAX_AT_ONCE) return { name: 'refused', reason: 'unavailable' }
    if (isCode) this.#underWay++
    try {
      this.#loading ??= this.#load()
      const client = await this.#loading
      return await client.act(call)
    } catch (err) {
      this.#loading = null
      this.#options.log.error({ err }, 'the sign-in by OIDC cannot be loaded')
      return { name: 'refused', reason: 'failed' }
    } finally {
      if (isCode) this.#underWay--
    }
  }

  async #load(): Promise<OidcFlow> {
    const { OidcFlow } = await import('./oidc/oidc-flow.ts')
    return new OidcFlow({ ...this.#options, call: this.#lane.call })
  }
}

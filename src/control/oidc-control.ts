import type { Config } from '../config/settings.ts'
import type { OidcAnswer, OidcCall } from '../ipc/oidc.ts'
import type { Logger } from '../observe/logger.ts'
import { loadOnce } from '../shared/single-flight.ts'
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
  readonly #load = loadOnce(async () => {
    const { OidcFlow } = await import('./oidc/oidc-flow.ts')
    return new OidcFlow({ ...this.#options, call: this.#lane.call })
  })
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
      const flow = await this.#load()
      return await flow.act(call)
    } catch (err) {
      this.#options.log.error({ err }, 'the sign-in by OIDC cannot be loaded')
      return { name: 'refused', reason: 'failed' }
    } finally {
      if (isCode) this.#underWay--
    }
  }
}

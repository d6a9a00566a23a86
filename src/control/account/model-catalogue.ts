import { BUILT_IN_CATALOGUE, type Catalogue, type ModelFacts } from '../../kiro/models/models.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import type { HostOverrides } from '../../kiro/wire/hosts.ts'
import type { Logger } from '../../observe/logger.ts'
import { askModels } from '../../upstream/call/account-calls.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'

export interface ModelCatalogueOptions {
  readonly call: JsonCall
  readonly upstream: HostOverrides & { readonly userAgent: string }
  readonly credential: () => Promise<CredentialSnapshot | null> | CredentialSnapshot | null
  readonly onChange: (catalogue: Catalogue) => void
  readonly log: Logger
}

const REFRESH_MS = 3_600_000
const RETRY_MS = 60_000

/** The upstream's models, fetched hourly. While unavailable, the last list stays, at first the built-in one. */
export class ModelCatalogue {
  readonly #options: ModelCatalogueOptions
  readonly #abort = new AbortController()
  #catalogue = BUILT_IN_CATALOGUE
  #lacksClaude = false
  #timer: NodeJS.Timeout | null = null

  constructor(options: ModelCatalogueOptions) {
    this.#options = options
  }

  get current(): Catalogue {
    return this.#catalogue
  }

  async start(): Promise<void> {
    const { log, onChange } = this.#options
    let nextMs = REFRESH_MS
    try {
      const models = await this.#fetchAll()
      this.#abort.signal.throwIfAborted()
      this.#catalogue = { models, isLive: true }
      onChange(this.#catalogue)
      log.info({ models: models.length }, 'model list fetched')
      this.#tellOfClaude(models)
    } catch (err) {
      if (this.#abort.signal.aborted) return
      nextMs = RETRY_MS
      const { isLive } = this.#catalogue
      log.warn({ err, isLive }, 'model list unavailable, keeping the last one')
    }
    this.#timer = setTimeout(() => void this.start(), nextMs).unref() // reports its own failures
  }

  close(): void {
    this.#abort.abort(new Error('the catalogue is closed'))
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  /** Logged once until Claude models appear: networks of some countries get none (kiro-protocol §7.4). */
  #tellOfClaude(models: readonly ModelFacts[]): void {
    const lacksClaude = !models.some(({ id }) => id.startsWith('claude'))
    if (lacksClaude && !this.#lacksClaude) {
      this.#options.log.warn('the upstream offers this account or network no Claude models')
    }
    this.#lacksClaude = lacksClaude
  }

  async #fetchAll(): Promise<readonly ModelFacts[]> {
    const { call, upstream, credential } = this.#options
    const snapshot = await credential()
    if (snapshot === null) throw new Error('there are no credentials')
    return askModels({ call, upstream, snapshot, signal: this.#abort.signal })
  }
}

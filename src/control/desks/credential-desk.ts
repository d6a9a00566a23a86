import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from '../../config/settings.ts'
import { CredentialRefresher } from '../../credentials/refresher.ts'
import type { CredentialState } from '../../credentials/sign-in.ts'
import { createCredentialSource, simulatorSource } from '../../credentials/sources.ts'
import type { CredentialNews, Problem } from '../../ipc/messages.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import type { Logger } from '../../observe/logger.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'
import { ProfileFinder } from './profile-finder.ts'

export interface CredentialDeskOptions {
  readonly config: Config
  readonly isSimulated: boolean
  readonly call: JsonCall
  readonly log: Logger
  /** Called with every news for all workers. */
  readonly onNews: (news: CredentialNews) => void
  /** Called when the source turns out to be unusable only after `start()` has resolved. */
  readonly onUnusable: (cause: unknown) => void
}

/** A refresh at the start may take this long before workers serve without it. */
const START_PATIENCE_MS = 1000

/** Turns what the refresher knows of the credential into news for the workers. */
export class CredentialDesk {
  readonly #refresher: CredentialRefresher
  readonly #profiles: ProfileFinder
  readonly #onNews: CredentialDeskOptions['onNews']
  readonly #onUnusable: CredentialDeskOptions['onUnusable']
  readonly #abort = new AbortController()
  #search: Promise<void> | null = null

  /** @throws {GatewayError} GW_CONFIG_INVALID when no source is configured or one is unusable. */
  constructor({ config, isSimulated, call, log, onNews, onUnusable }: CredentialDeskOptions) {
    const settings = config.credentials
    const source = isSimulated ? simulatorSource() : createCredentialSource(settings, log)
    if (source === null) throw new GatewayError('GW_CONFIG_INVALID', 'no source of credentials')
    this.#onNews = onNews
    this.#onUnusable = onUnusable
    this.#refresher = new CredentialRefresher({
      source,
      settings,
      upstream: config.upstream,
      call,
      log,
      onChange: () => this.#changed()
    })
    this.#profiles = new ProfileFinder({ call, upstream: config.upstream, log })
  }

  /**
   * Reads the source. Resolves when the credential is known, or after a moment in which a refresh has not ended yet.
   *
   * @throws {GatewayError} GW_CONFIG_INVALID when the source can't be read.
   */
  async start(): Promise<void> {
    const started = this.#refresher.start().then(() => this.#search)
    const late = delay(START_PATIENCE_MS, 'late', { ref: false })
    if ((await Promise.race([started, late])) === 'late') started.catch(this.#onUnusable)
  }

  current(): CredentialSnapshot | null {
    return this.news().snapshot
  }

  news(): CredentialNews {
    const news = toNews(this.#refresher.state())
    if (news.snapshot === null) return news
    return { snapshot: this.#profiles.complete(news.snapshot), problem: null }
  }

  /**
   * The upstream refused this token. Resolves when it was renewed, once for all who report it, or could not be: `news()`
   * says which. The same token stays if that failed for now: one refusal is no reason to bar what has not expired.
   */
  async refused(token: string): Promise<void> {
    await this.#refresher.refused(token).catch(() => {}) // part of the news
  }

  suspended(token: string, message: string): void {
    this.#refresher.suspended(token, message)
  }

  async close(): Promise<void> {
    this.#abort.abort(new GatewayError('GW_DRAINING'))
    await this.#refresher.close()
    await this.#search
  }

  #changed(): void {
    const news = this.news()
    this.#onNews(news)
    if (news.snapshot === null || !this.#profiles.needsProfile(news.snapshot)) return
    this.#search ??= this.#findProfile(news.snapshot)
  }

  /**
   * Goes on asking until the upstream has answered. Requests go out without a profile meanwhile: some hosts and
   * models need none.
   */
  async #findProfile(snapshot: CredentialSnapshot): Promise<void> {
    const { signal } = this.#abort
    let outcome = await this.#profiles.find(snapshot, signal)
    for (let delayMs = FIRST_SEARCH_DELAY_MS; outcome === 'unknown' && !signal.aborted; ) {
      await delay(delayMs, undefined, { signal, ref: false }).catch(() => {}) // closed: the loop ends
      const { snapshot: current } = this.news()
      if (!signal.aborted && current !== null) outcome = await this.#profiles.find(current, signal)
      delayMs = Math.min(delayMs * 2, MAX_SEARCH_DELAY_MS)
    }
    this.#search = null
    if (outcome === 'found') this.#onNews(this.news())
  }
}

const FIRST_SEARCH_DELAY_MS = 1000
const MAX_SEARCH_DELAY_MS = 60_000

const WAITING: Problem = {
  code: 'GW_NOT_READY',
  message: 'The credentials are being renewed. Try again in a moment.'
}

function toNews(state: CredentialState): CredentialNews {
  if (state.name === 'usable') return { snapshot: state.snapshot, problem: null }
  const { code, message } = state.problem ?? WAITING
  return { snapshot: null, problem: { code, message } }
}

import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from '../../config/settings.ts'
import { CredentialRefresher } from '../../credentials/refresher.ts'
import type { SharedSignIn } from '../../credentials/shared-sign-in.ts'
import type { CredentialState } from '../../credentials/sign-in.ts'
import type { CredentialSource } from '../../credentials/stored-credential.ts'
import type { CredentialNews, FromWorker, Problem } from '../../ipc/messages.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import type { Logger } from '../../observe/logger.ts'
import { type ErrorCode, GatewayError } from '../../shared/errors.ts'
import { failureOf } from '../../shared/failures.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'
import { LoginDesk } from './login-desk.ts'
import { ProfileFinder } from './profile-finder.ts'

export interface CredentialDeskOptions {
  readonly config: Config
  /** `null` where clients bring keys of their own and nothing else is served. */
  readonly source: CredentialSource | null
  readonly call: JsonCall
  readonly log: Logger
  /** Called with every news for all workers. */
  readonly onNews: (news: CredentialNews) => void
  /** Called when the source turns out to be unusable only after `start()` has resolved. */
  readonly onUnusable: (cause: unknown) => void
}

type CredentialQuestion = Extract<
  FromWorker,
  { readonly type: 'credential.refused' | 'credential.wanted' }
>

/** A refresh at the start may take this long before workers serve without it. */
const START_PATIENCE_MS = 1000

/** Turns what the refresher knows of the credential into news for the workers. */
export class CredentialDesk {
  readonly #source: CredentialSource | null
  readonly #refresher: CredentialRefresher | null
  readonly #profiles: ProfileFinder
  readonly #onNews: CredentialDeskOptions['onNews']
  readonly #onUnusable: CredentialDeskOptions['onUnusable']
  /** Has the log ask for a sign-in; `null` where that is not wanted, or the sign-in is another program's. */
  readonly #login: LoginDesk | null
  readonly #abort = new AbortController()
  #search: Promise<void> | null = null

  constructor({ config, source, call, log, onNews, onUnusable }: CredentialDeskOptions) {
    const { credentials: settings, upstream } = config
    this.#source = source
    this.#onNews = onNews
    this.#onUnusable = onUnusable
    const isLogin = settings.isLoginWanted && source?.isOwn === true
    this.#login = isLogin ? new LoginDesk({ call, config, log }) : null
    const onChange = (): void => this.#changed()
    this.#refresher =
      source === null
        ? null
        : new CredentialRefresher({ source, settings, upstream, call, log, onChange })
    this.#profiles = new ProfileFinder({ call, upstream, log, apiRegion: settings.apiRegion })
  }

  /**
   * Reads the source. Resolves when the credential is known, or after a moment in which a refresh has not ended yet.
   *
   * @throws {GatewayError} GW_CONFIG_INVALID when the source can't be read.
   */
  async start(): Promise<void> {
    if (this.#refresher === null) return
    const started = this.#refresher.start().then(() => this.#search)
    const late = delay(START_PATIENCE_MS, 'late', { ref: false })
    if ((await Promise.race([started, late])) === 'late') started.catch(this.#onUnusable)
  }

  /** Other gateways have the sign-in, too. To be called before `start()`. */
  shareSignIn(share: SharedSignIn): void {
    this.#refresher?.share(share)
  }

  current(): CredentialSnapshot | null {
    return this.news().snapshot
  }

  /** There is a sign-in, or there will be. */
  get isExpected(): boolean {
    return this.#refresher !== null
  }

  /** Epoch ms after which the sign-in cannot be renewed; `null` where no such end is known. */
  get endsAt(): number | null {
    return this.#refresher?.registrationEndsAt ?? null
  }

  /** Instructions for a new sign-in, by its source; `null` without a source. */
  get loginHint(): string | null {
    return this.#source?.loginHint ?? null
  }

  news(): CredentialNews {
    if (this.#refresher === null) return { snapshot: null, problem: NONE }
    const news = toNews(this.#refresher.state())
    if (news.snapshot === null) return news
    return { snapshot: this.#profiles.complete(news.snapshot), problem: null }
  }

  /**
   * Handles a token that the upstream refused. Resolves when it was renewed, once for all reports, or could not be:
   * `news()` says which. The token stays in use if that failed for now: one refusal does not bar a token that has not
   * expired.
   */
  async refused(token: string): Promise<void> {
    await this.#refresher?.refused(token).catch(() => {}) // part of the news
  }

  /**
   * Requests a valid token. Resolves when there is one, or the reason for its lack is known: `news()`, which all
   * workers receive, says which.
   */
  async wanted(): Promise<void> {
    try {
      await this.#refresher?.usable()
    } catch {
      const news = this.news() // when it is renewed again is news, too
      if (news.snapshot === null) this.#onNews(news)
    }
  }

  /** A worker's token was refused, or it has none that is valid; never rejects. */
  onMessage(message: CredentialQuestion): Promise<void> {
    return message.type === 'credential.refused' ? this.refused(message.token) : this.wanted()
  }

  /** The token once it is valid; `null` where there is none, see `news()`. */
  async valid(): Promise<CredentialSnapshot | null> {
    await this.wanted()
    return this.current()
  }

  suspended(token: string, reason: string): void {
    this.#refresher?.suspended(token, reason)
  }

  /** A suspension may be over: asks whether the sign-in is of use again. */
  revive(): void {
    this.#refresher?.revive()
  }

  async close(): Promise<void> {
    this.#abort.abort(new GatewayError('GW_DRAINING'))
    await this.#login?.stop()
    await this.#refresher?.close()
    await this.#search
  }

  #changed(): void {
    const news = this.news()
    this.#onNews(news)
    if (news.snapshot !== null)
      void this.#login?.stop() // never rejects
    else if (NEW_SIGN_IN.has(news.problem.code)) this.#login?.start()
    if (news.snapshot === null || !this.#profiles.isIncomplete(news.snapshot)) return
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

/** Problems that a new sign-in ends. */
const NEW_SIGN_IN: ReadonlySet<ErrorCode> = new Set([
  'GW_LOGIN_PENDING',
  'GW_UPSTREAM_AUTH',
  'GW_REGISTRATION_EXPIRED'
])

const FIRST_SEARCH_DELAY_MS = 1000
const MAX_SEARCH_DELAY_MS = 60_000

const WAITING: Problem = {
  code: 'GW_NOT_READY',
  message: 'The credentials are being renewed. Try again shortly.'
}

const NONE: Problem = {
  code: 'GW_KEY_INVALID',
  message: 'This gateway has no sign-in of its own. Send your Kiro API key (ksk_…) as your key.'
}

/** Converts the state; temporary failures count as a gateway that is not ready, whatever their cause. */
function toNews(state: CredentialState): CredentialNews {
  switch (state.name) {
    case 'usable':
      return { snapshot: state.snapshot, problem: null }
    case 'dead': {
      const { code, message } = state.problem
      return { snapshot: null, problem: { code, message } }
    }
    case 'waiting':
      break
  }
  const { problem, retryAt } = state
  if (problem === null) return { snapshot: null, problem: WAITING, retryAt }
  const message = `The sign-in cannot be renewed at the moment. ${problem.message}`
  const failing: Problem = { code: 'GW_NOT_READY', message, failure: failureOf(problem.code) }
  return { snapshot: null, problem: failing, retryAt, isFailing: true }
}

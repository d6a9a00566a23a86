import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from '../../config/settings.ts'
import { CredentialRefresher } from '../../credentials/refresher.ts'
import type { SharedSignIn } from '../../credentials/shared-sign-in.ts'
import type { CredentialState } from '../../credentials/sign-in.ts'
import type { CredentialSource } from '../../credentials/stored-credential.ts'
import type { CredentialNews, Problem } from '../../ipc/messages.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import type { Logger } from '../../observe/logger.ts'
import { type ErrorCode, GatewayError } from '../../shared/errors.ts'
import { failureOf } from '../../shared/failures.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'
import { LoginOnStart } from './login-on-start.ts'
import { ProfileFinder } from './profile-finder.ts'

export interface CredentialControlOptions {
  readonly config: Config
  readonly source: CredentialSource | null
  readonly call: JsonCall
  readonly log: Logger
  readonly onNews: (news: CredentialNews) => void
  /** Called if the source proves unusable after `start()` has resolved. */
  readonly onUnusable: (cause: unknown) => void
}

const START_PATIENCE_MS = 1000

export class CredentialControl {
  readonly #source: CredentialSource | null
  readonly #refresher: CredentialRefresher | null
  readonly #profiles: ProfileFinder
  readonly #onNews: CredentialControlOptions['onNews']
  readonly #onUnusable: CredentialControlOptions['onUnusable']
  /** Prompts for a sign-in in the log; `null` if unwanted, or if the sign-in is another program's. */
  readonly #login: LoginOnStart | null
  readonly #abort = new AbortController()
  readonly #findProfileOnce = singleFlight((snapshot: CredentialSnapshot) =>
    this.#findProfile(snapshot)
  )

  constructor({ config, source, call, log, onNews, onUnusable }: CredentialControlOptions) {
    const { credentials: settings, upstream } = config
    this.#source = source
    this.#onNews = onNews
    this.#onUnusable = onUnusable
    const isLogin = settings.isLoginWanted && source?.isOwn === true
    this.#login = isLogin ? new LoginOnStart({ call, config, log }) : null
    const onChange = (): void => this.#changed()
    this.#refresher =
      source === null
        ? null
        : new CredentialRefresher({ source, settings, upstream, call, log, onChange })
    this.#profiles = new ProfileFinder({ call, upstream, log, apiRegion: settings.apiRegion })
  }

  /** Resolves when the credential is known, or a refresh takes long. @throws {GatewayError} GW_CONFIG_INVALID */
  async start(): Promise<void> {
    if (this.#refresher === null) return
    const started = this.#refresher.start().then(() => this.#findProfileOnce.running)
    const late = delay(START_PATIENCE_MS, 'late', { ref: false })
    if ((await Promise.race([started, late])) === 'late') started.catch(this.#onUnusable)
  }

  /** Must be called before `start()`. */
  shareSignIn(share: SharedSignIn): void {
    this.#refresher?.share(share)
  }

  current(): CredentialSnapshot | null {
    return this.news().snapshot
  }

  /** False if clients bring their own keys. */
  get isExpected(): boolean {
    return this.#refresher !== null
  }

  /** Epoch ms after which the sign-in cannot be renewed; `null` if unknown. */
  get endsAt(): number | null {
    return this.#refresher?.registrationEndsAt ?? null
  }

  get loginHint(): string | null {
    return this.#source?.loginHint ?? null
  }

  news(): CredentialNews {
    if (this.#refresher === null) return { snapshot: null, problem: NONE }
    const news = toNews(this.#refresher.state())
    if (news.snapshot === null) return news
    return { snapshot: this.#profiles.complete(news.snapshot), problem: null }
  }

  /** Resolves when the token was renewed or could not be: see `news()`. One refusal does not prove it invalid. */
  async refused(token: string): Promise<void> {
    await this.#refresher?.refused(token).catch(() => {}) // part of the news
  }

  /** Resolves when there is a valid token, or the reason for its lack is known: see `news()`. */
  async wanted(): Promise<void> {
    try {
      await this.#refresher?.usable()
    } catch {
      const news = this.news() // when it is renewed again is news, too
      if (news.snapshot === null) this.#onNews(news)
    }
  }

  /** `null` without a valid token: see `news()`. */
  async valid(): Promise<CredentialSnapshot | null> {
    await this.wanted()
    return this.current()
  }

  suspended(token: string, reason: string): void {
    this.#refresher?.suspended(token, reason)
  }

  /** The sign-in is the one that `kiro-gateway login` and the panel keep. */
  get isOwn(): boolean {
    return this.#source?.isOwn === true
  }

  /** Name of the source, for people; `null` without one. */
  get sourceName(): string | null {
    return this.#source?.name ?? null
  }

  /** Removes the sign-in by `remove` and uses it no more, until there is a new one. */
  forget(remove: () => Promise<boolean>): Promise<boolean> {
    return this.#refresher?.forget(remove) ?? remove()
  }

  /** Adopts a sign-in that was just saved. Never rejects. */
  async lookAgain(): Promise<void> {
    await this.#refresher?.lookAgain()
  }

  revive(): void {
    this.#refresher?.revive()
  }

  async close(): Promise<void> {
    this.#abort.abort(new GatewayError('GW_DRAINING'))
    await this.#login?.stop()
    await this.#refresher?.close()
    await this.#findProfileOnce.running
  }

  #changed(): void {
    const news = this.news()
    this.#onNews(news)
    if (news.snapshot !== null)
      void this.#login?.stop() // never rejects
    else if (NEW_SIGN_IN.has(news.problem.code)) this.#login?.start()
    if (news.snapshot === null || !this.#profiles.isIncomplete(news.snapshot)) return
    void this.#findProfileOnce(news.snapshot)
  }

  /** Repeats until the upstream answers. Meanwhile requests have no profile: some hosts and models need none. */
  async #findProfile(snapshot: CredentialSnapshot): Promise<void> {
    const { signal } = this.#abort
    let outcome = await this.#profiles.find(snapshot, signal)
    for (let delayMs = FIRST_SEARCH_DELAY_MS; outcome === 'unknown' && !signal.aborted; ) {
      await delay(delayMs, undefined, { signal, ref: false }).catch(() => {}) // closed: the loop ends
      const { snapshot: current } = this.news()
      if (!signal.aborted && current !== null) outcome = await this.#profiles.find(current, signal)
      delayMs = Math.min(delayMs * 2, MAX_SEARCH_DELAY_MS)
    }
    if (outcome === 'found') this.#onNews(this.news())
  }
}

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

/** Temporary failures count as not ready, whatever their cause. */
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

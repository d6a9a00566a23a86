import { setTimeout as delay } from 'node:timers/promises'
import type { ToPrimary } from '../../ipc/channel.ts'
import type { CredentialNews, Problem } from '../../ipc/messages.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import { GatewayError, unlessAborted } from '../../shared/errors.ts'
import { failureOf } from '../../shared/failures.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import type { PrimaryPulse } from './primary-pulse.ts'

export interface CredentialClient {
  /** @throws {GatewayError} why there is none, and what the operator can do */
  current(): CredentialSnapshot
  /** Like `current()`; `null` where `ready()` would wait or throw. */
  usable(): CredentialSnapshot | null
  /** @throws {GatewayError} why there is none, after waiting for a renewal */
  ready(signal: AbortSignal): Promise<CredentialSnapshot>
  /**
   * `isNamed`: the upstream blamed the token.
   * @throws {GatewayError} if there is no other
   */
  renew(
    refused: CredentialSnapshot,
    signal: AbortSignal,
    isNamed: boolean
  ): Promise<CredentialSnapshot>
  accepted(snapshot: CredentialSnapshot): void
  /** The upstream has suspended the token's account; `reason` is only for the log. */
  reportSuspended(token: string, reason: string): void
  /** `null` if there is a credential. */
  readonly problem: Problem | null
}

/** Shortest pause between questions, whatever the primary says. */
const MIN_PAUSE_MS = 50

export interface CredentialOptions {
  readonly channel: ToPrimary
  readonly news: CredentialNews
  readonly pulse: Pick<PrimaryPulse, 'ask' | 'silence'>
  readonly waitTimeoutMs: () => number
}

/** The credential that the primary last sent. Only the primary reads and refreshes it. */
export class Credentials implements CredentialClient {
  readonly #options: CredentialOptions
  #news: CredentialNews
  readonly #askOnce = singleFlight(() => this.#ask())

  constructor(options: CredentialOptions) {
    this.#options = options
    this.#news = options.news
  }

  current(): CredentialSnapshot {
    const { snapshot, problem } = this.#news
    if (snapshot !== null) return snapshot
    throw toError(problem)
  }

  get problem(): Problem | null {
    return this.#news.problem
  }

  usable(): CredentialSnapshot | null {
    const { snapshot } = this.#news
    const isUsable = snapshot !== null && (!isOver(snapshot) || this.#options.pulse.silence.aborted)
    return isUsable ? snapshot : null
  }

  /**
   * Waits up to `CREDENTIAL_WAIT_TIMEOUT` for a renewal; uses the expired token while the primary is
   * silent, since its last minute counts as expired.
   * @throws {GatewayError} why there is none; GW_NOT_READY after the wait; the signal's reason
   */
  async ready(signal: AbortSignal): Promise<CredentialSnapshot> {
    const { pulse } = this.#options
    const timeoutMs = this.#options.waitTimeoutMs()
    let bound: AbortSignal | null = null
    const giveUpAt = Date.now() + timeoutMs
    for (;;) {
      const snapshot = this.usable()
      if (snapshot !== null) return snapshot
      if (!this.#mayCome(giveUpAt)) return this.current() // which says why not
      bound ??= AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)])
      try {
        await this.#next(AbortSignal.any([bound, pulse.silence]))
      } catch (cause) {
        signal.throwIfAborted()
        if (bound.aborted) throw stillRenewing(this.#news)
        if (!pulse.silence.aborted || this.#news.snapshot === null) throw cause
      }
    }
  }

  /** The primary has it from the token service. */
  accepted(): void {}

  reportSuspended(token: string, reason: string): void {
    this.#options.channel.send({ type: 'credential.suspended', token, reason })
  }

  onNews(news: CredentialNews): void {
    this.#news = news
  }

  /**
   * The primary refreshes once for all reports of a token.
   * @throws {GatewayError} GW_UPSTREAM_AUTH if there is no other; GW_PRIMARY_SILENT; GW_NOT_READY if none
   * comes within `CREDENTIAL_WAIT_TIMEOUT`; the signal's reason
   */
  async renew(refused: CredentialSnapshot, signal: AbortSignal): Promise<CredentialSnapshot> {
    // Another request was first, or the token has expired meanwhile.
    if (this.#news.snapshot?.token !== refused.token) return this.ready(signal)
    const { pulse, waitTimeoutMs } = this.#options
    const { token } = refused
    const bound = AbortSignal.any([signal, AbortSignal.timeout(waitTimeoutMs())])
    try {
      await pulse.ask({ type: 'credential.refused', token }, bound)
    } catch (cause) {
      signal.throwIfAborted()
      throw bound.aborted ? stillRenewing(this.#news) : cause
    }
    if (this.#news.snapshot?.token === token) throw new GatewayError('GW_UPSTREAM_AUTH')
    return this.ready(signal)
  }

  #mayCome(giveUpAt: number): boolean {
    const { snapshot, problem, retryAt } = { retryAt: undefined, ...this.#news }
    if (snapshot !== null || problem === null) return true
    return retryAt !== undefined && retryAt <= giveUpAt
  }

  async #next(signal: AbortSignal): Promise<void> {
    const { retryAt = 0 } = { retryAt: undefined, ...this.#news }
    const pauseMs = retryAt - Date.now()
    if (pauseMs > 0) {
      await delay(Math.max(pauseMs, MIN_PAUSE_MS), undefined, { signal }).catch(() => {
        throw signal.reason
      })
      if (this.#news.snapshot !== null) return
    }
    await unlessAborted(this.#askOnce(), signal)
    const { snapshot } = this.#news
    if (snapshot !== null && isOver(snapshot)) await delay(MIN_PAUSE_MS)
  }

  async #ask(): Promise<void> {
    try {
      await this.#options.pulse.ask({ type: 'credential.wanted' })
    } catch {
      // the primary is silent, which those who wait hear themselves
    }
  }
}

/** Says what is wrong in words for people and a code for programs. */
function toError({ code, message, failure = failureOf(code) }: Problem): GatewayError {
  return new GatewayError(code, undefined, { message, details: { failure } })
}

function isOver({ expiresAt }: CredentialSnapshot): boolean {
  return expiresAt !== null && expiresAt <= Date.now()
}

function stillRenewing({ problem }: CredentialNews): GatewayError {
  const failure = problem?.failure ?? 'not-ready'
  const message =
    problem?.message ??
    "The gateway's sign-in is still being renewed (CREDENTIAL_WAIT_TIMEOUT). Try again shortly."
  const options = { message, retryAfterS: 1, details: { failure } }
  return new GatewayError('GW_NOT_READY', 'waited for a token', options)
}

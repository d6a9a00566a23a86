import { setTimeout as delay } from 'node:timers/promises'
import type { ToPrimary } from '../../ipc/channel.ts'
import {
  type AccountBar,
  type AccountStatus,
  type CredentialNews,
  GOOD_STATUS,
  type PlanBar,
  type Problem
} from '../../ipc/messages.ts'
import type { CredentialSnapshot } from '../../kiro/wire/credential-snapshot.ts'
import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import { type ErrorCode, GatewayError, unlessAborted } from '../../shared/errors.ts'
import { failureOf } from '../../shared/failures.ts'
import { singleFlight } from '../../shared/single-flight.ts'
import type { Standing } from '../../shared/standing.ts'
import { barMs, isWaitedFor } from '../../upstream/call/retry.ts'
import type { PrimaryPulse } from './primary-pulse.ts'

/** Sign-in of one request's account, wherever it comes from. */
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
    const isUsable =
      snapshot !== null && (!hasExpired(snapshot) || this.#options.pulse.silence.aborted)
    return isUsable ? snapshot : null
  }

  /**
   * Waits up to `CREDENTIAL_WAIT_TIMEOUT` for a renewal; uses the expired token while the primary is
   * silent, since its last minute counts as expired.
   * @throws {GatewayError} why there is none; GW_NOT_READY after the wait; the signal's reason
   */
  async ready(signal: AbortSignal): Promise<CredentialSnapshot> {
    const known = this.usable()
    if (known !== null) return known
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
    if (snapshot !== null && hasExpired(snapshot)) await delay(MIN_PAUSE_MS)
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

function hasExpired({ expiresAt }: CredentialSnapshot): boolean {
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

const DAY_MS = 86_400_000

const NO_KEYS: ReadonlySet<string> = new Set()

export interface AccountClientOptions {
  readonly channel: ToPrimary
  readonly status: AccountStatus
  /** Pauses questions for this time; requests wait. */
  readonly pause: (ms: number) => void
  /** Refuses waiting requests that are meant: the upstream is not asked for longer. */
  readonly refuseWaiting: (error: GatewayError, isMeant: (key: string) => boolean) => void
  /** The plan's state at the start; left out for accounts whose plan does not matter here. */
  readonly planBar?: PlanBar | null
  readonly planStanding?: Standing | null
  readonly overageKeys?: () => ReadonlySet<string>
  /** Epoch ms. */
  readonly now?: () => number
}

/** The account as refusals show it; the primary gathers what all workers hear. */
export class AccountClient {
  readonly #options: AccountClientOptions
  readonly #overageKeys: () => ReadonlySet<string>
  readonly #now: () => number
  #status = GOOD_STATUS
  #planBar: PlanBar | null
  #planStanding: Standing | null
  #heard: AccountBar | null = null

  constructor(options: AccountClientOptions) {
    this.#options = options
    this.#overageKeys = options.overageKeys ?? (() => NO_KEYS)
    this.#planBar = options.planBar ?? null
    this.#planStanding = options.planStanding ?? null
    this.#now = options.now ?? (() => Date.now())
    this.onStatus(options.status)
  }

  /** Why requests of this key cannot be served; `null` if they can. */
  problemOf(key: string): GatewayError | null {
    const { problem } = this
    if (problem !== null || this.#planBar === null) return problem
    return this.#overageKeys().has(key) ? null : this.planProblem
  }

  /** Like `problem`, ignoring keys that may cost extra. */
  get planProblem(): GatewayError | null {
    if (this.#planBar === null) return null
    const { code, message, until } = this.#planBar
    if (until !== null && until <= this.#now()) return null
    return new GatewayError(code, undefined, { message, details: { failure: failureOf(code) } })
  }

  /** Used part of the plan, for clients without a limit of their own; `null` unless an operator wants it shown. */
  get planStanding(): Standing | null {
    const standing = this.#planStanding
    const isOver = standing?.resetsAt != null && standing.resetsAt <= this.#now()
    return isOver ? null : standing
  }

  onPlanStanding(standing: Standing | null): void {
    this.#planStanding = standing
  }

  get problem(): GatewayError | null {
    if (this.#status.bars.length === 0 && this.#heard === null) return null // asked three times a request
    const now = this.#now()
    const bar = [...this.#status.bars, this.#heard].find((one) => one !== null && one.until > now)
    if (bar === undefined || bar === null) return null
    const { code, until } = bar
    const message = `${wordBar(code, this.#isSuspect)} The gateway asks the upstream again after ${new Date(until).toISOString()}.`
    const retryAfterS = (until - now) / 1000
    const details = { failure: failureOf(code) }
    return new GatewayError(code, 'remembered', { message, retryAfterS, details })
  }

  get hasOverageKeys(): boolean {
    return this.#overageKeys().size > 0
  }

  /** @throws {GatewayError} if the upstream is not to be asked for this key now */
  check(key: string): void {
    const problem = this.problemOf(key)
    if (problem !== null) throw problem
  }

  onPlan(bar: PlanBar | null): void {
    this.#planBar = bar
    this.refuseOthers()
  }

  onStatus(status: AccountStatus): void {
    const { pausedUntil } = status
    const isNews = pausedUntil !== null && pausedUntil !== this.#status.pausedUntil
    const now = this.#now()
    this.#status = status
    this.#heard = null
    if (isNews && pausedUntil > now) this.#options.pause(pausedUntil - now)
    this.refuseOthers()
  }

  /** Notes what a refusal says of the account, and returns the client's error. */
  heed(error: GatewayError, fault: UpstreamFault | null): GatewayError {
    if (fault === null) return error
    const told = inContext(error, fault, this.#isSuspect)
    const { bar, retryAfterS } = fault
    if (bar === null || told.code !== fault.code) return told
    const ms = barMs({ bar, retryAfterS }, 0)
    if (ms === 0) return told
    const { code, message: reason } = told
    const now = this.#now()
    // Earlier calls tell nothing new, and less exactly.
    const isKnown = this.#status.bars.some((one) => one.bar === bar && one.until > now)
    if (isKnown) return told.with({ retryAfterS: ms / 1000 })
    this.#options.channel.send({
      type: 'account.refused',
      refusal: { bar, code, reason, retryAfterS }
    })
    if (isWaitedFor(bar, ms)) {
      this.#options.pause(ms)
      return told
    }
    this.#heard = { bar, code, until: now + ms }
    this.refuseOthers()
    return told.with({ retryAfterS: ms / 1000 })
  }

  /** Refuses waiting requests that lost their rights. Call when keys have changed. */
  refuseOthers(): void {
    const { problem, planProblem } = this
    if (problem !== null) this.#options.refuseWaiting(problem, () => true)
    else if (planProblem !== null) {
      const may = this.#overageKeys()
      this.#options.refuseWaiting(planProblem, (key) => !may.has(key))
    }
  }

  get #isSuspect(): boolean {
    const { suspectedAt } = this.#status
    return suspectedAt !== null && this.#now() - suspectedAt < DAY_MS
  }
}

const NOT_ADMITTED =
  'The sign-in is valid, but this subscription or seat admits only certain programs. The gateway identifies itself and does not pose as another program. ' +
  'Create an API key (ksk_…) for this account, the official way for programs, and set KIRO_API_KEY. An administrator may have to allow API keys first, and knows which applications the seat admits. ' +
  'KIRO_USER_AGENT sets the name under which the gateway calls the upstream; changing it is at your own risk.'

const LIKELY_LOCKED =
  'The upstream has suspected abuse of this account within the last day, which is the likely cause. Stop using the account for automation and contact Kiro support.'

/** Qwen Code looks for "quota", "exhausted" and "reset at", or retries for 40 minutes (kiro-protocol §8.6). */
const QUOTA_EXHAUSTED = 'The quota is exhausted until it is reset at the upstream.'

/** Words a refusal for clients that did not receive it; the upstream's words may quote the client that did. */
function wordBar(code: ErrorCode, isSuspect: boolean): string {
  const { message } = ErrorTable[code]
  if (code === 'GW_UPSTREAM_QUOTA') return `${message} ${QUOTA_EXHAUSTED}`
  return code === 'GW_CLIENT_NOT_ADMITTED' ? `${message} ${adviceFor(isSuspect)}` : message
}

function adviceFor(isSuspect: boolean): string {
  return isSuspect ? LIKELY_LOCKED : NOT_ADMITTED
}

function inContext(
  error: GatewayError,
  { status, message }: UpstreamFault,
  isSuspect: boolean
): GatewayError {
  if (error.code === 'GW_CLIENT_NOT_ADMITTED') {
    return error.with({ message: `${error.message} ${adviceFor(isSuspect)}` })
  }
  const isLocked = isSuspect && status === 403 && /^user is not authorized\.?$/i.test(message)
  return isLocked ? error.with({ code: 'GW_UPSTREAM_SUSPENDED', message }) : error
}

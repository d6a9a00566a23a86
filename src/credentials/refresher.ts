import type { Config } from '../config/settings.ts'
import type { CredentialSnapshot } from '../kiro/wire/credential-snapshot.ts'
import { GatewayError } from '../shared/errors.ts'
import {
  isFinalRefusal,
  type RenewOptions,
  renewTokens,
  WALL_CLOCK,
  type WallClock
} from './renew.ts'
import {
  type CredentialState,
  type FailedAttempt,
  SignIn,
  type SignInOptions,
  tokenAge
} from './sign-in.ts'
import type { CredentialSource, StoredCredential } from './stored-credential.ts'
import { CredentialVault } from './vault.ts'

export interface CredentialRefresherOptions
  extends Pick<SignInOptions, 'log' | 'onChange'>,
    Pick<RenewOptions, 'call' | 'upstream'> {
  readonly source: CredentialSource
  readonly settings: Config['credentials']
  readonly clock?: WallClock
}

/**
 * The only place in the cluster that renews the sign-in (kiro-protocol §3.8).
 *
 * At most one renewal runs at a time and all callers wait for the same one. A token that is still
 * valid is renewed in the background; an expired or refused one is waited for. Before every renewal the source
 * is read again, so that a refresh token that another program has used up is not used twice.
 */
export class CredentialRefresher {
  readonly #vault: CredentialVault
  readonly #clock: WallClock
  readonly #renewal: RenewOptions
  readonly #signIn: SignIn
  readonly #timer: RenewalTimer
  readonly #forced = new ForcedRefreshLimit()
  readonly #leaving = new AbortController()
  #phase: 'new' | 'running' | 'closed' = 'new'
  #flight: Promise<CredentialSnapshot> | null = null

  constructor(options: CredentialRefresherOptions) {
    const { source, settings, upstream, call, log, clock = WALL_CLOCK } = options
    const { loginHint } = source
    this.#vault = new CredentialVault(source, settings.stateDir, log)
    this.#clock = clock
    this.#renewal = { call, clock, upstream, loginHint, leaving: this.#leaving.signal }
    this.#signIn = new SignIn({ ...options, clock })
    const renew = (): void => void this.#refresh(null).catch(() => {}) // remembered by the sign-in
    this.#timer = new RenewalTimer(clock, renew)
  }

  /**
   * Reads the sign-in. Touches the network only if the token is expired; resolves then when it is renewed or the
   * first attempt has failed, which `state()` tells.
   *
   * @throws {GatewayError} GW_CONFIG_INVALID if the source cannot be read.
   */
  async start(): Promise<void> {
    if (this.#phase !== 'new') throw new Error('the refresher was started before')
    this.#phase = 'running'
    const stored = await this.#vault.load()
    if (tokenAge(stored, this.#clock.now()) === 'expired') {
      await this.#refresh(null).catch(() => {}) // remembered by the sign-in, repeated by the timer
    } else {
      this.#signIn.adopt(stored)
      this.#schedule()
    }
  }

  /** The token to use now; `null` while there is no valid one. */
  current(): CredentialSnapshot | null {
    return this.#signIn.current()
  }

  state(): CredentialState {
    return this.#signIn.state()
  }

  /**
   * The upstream refused this token. Renews it unless that has happened since it was handed out.
   *
   * @throws {GatewayError} the reason why there is none: GW_UPSTREAM_AUTH or GW_UPSTREAM_SUSPENDED for good,
   *   others for now.
   */
  async refused(token: string): Promise<CredentialSnapshot> {
    const current = this.current()
    if (current !== null && current.token !== token) return current
    const snapshot = await this.#refresh(token)
    return snapshot.token === token ? this.#refresh(token) : snapshot // joined one that knew nothing of it
  }

  /** The upstream says that the account of this token is suspended: nothing is renewed until there is a new sign-in. */
  suspended(token: string, message: string): void {
    const { stored } = this.#signIn
    if (stored === null || stored.accessToken !== token) return
    const error = new GatewayError('GW_UPSTREAM_SUSPENDED', undefined, { message })
    this.#signIn.fail(error, { stored, refused: token })
    this.#schedule()
  }

  /** Lets a renewal end that has been sent: its single-use token must not be lost. Any other is given up. */
  async close(): Promise<void> {
    this.#phase = 'closed'
    this.#timer.clear()
    this.#leaving.abort(new GatewayError('GW_DRAINING'))
    await this.#flight?.catch(() => {}) // its callers hear of it
  }

  #schedule(): void {
    if (this.#phase === 'running') this.#timer.set(this.#signIn.nextRenewalAt)
  }

  #refresh(refused: string | null): Promise<CredentialSnapshot> {
    if (this.#phase !== 'running') return Promise.reject(new GatewayError('GW_DRAINING'))
    this.#flight ??= this.#attempt(refused).finally(() => {
      this.#flight = null
      this.#schedule()
    })
    return this.#flight
  }

  async #attempt(refused: string | null): Promise<CredentialSnapshot> {
    const { failure } = this.#signIn
    if (failure !== null && this.#clock.now() < failure.retryAt) throw failure.error
    const stored = await this.#vault.load()
    if (this.#signIn.isNews(stored, refused)) return this.#signIn.adopt(stored)
    if (failure?.isFinal === true && failure.stored.refreshToken === stored.refreshToken) {
      throw this.#signIn.fail(failure.error, { stored, refused })
    }
    if (refused !== null && !this.#forced.allow(this.#clock.now())) {
      throw new GatewayError('GW_UPSTREAM_AUTH', undefined, { message: TOO_MANY_REFUSALS })
    }
    try {
      return await this.#renew(stored)
    } catch (cause) {
      return this.#recover(cause, { stored, refused })
    }
  }

  async #renew(stored: StoredCredential): Promise<CredentialSnapshot> {
    const tokens = await renewTokens(stored, this.#renewal)
    const issuedAt = this.#clock.now()
    return this.#signIn.adopt(await this.#vault.keep(stored, tokens, issuedAt), issuedAt)
  }

  /** A refused refresh token may have been used by another program, which has left us a new one. */
  async #recover(cause: unknown, attempt: FailedAttempt): Promise<CredentialSnapshot> {
    const error = toGatewayError(cause)
    if (!isFinalRefusal(error)) throw this.#signIn.fail(error, attempt)
    const { refused } = attempt
    const stored = await this.#vault.load()
    if (this.#signIn.isNews(stored, refused)) return this.#signIn.adopt(stored)
    if (stored.refreshToken === attempt.stored.refreshToken) throw this.#signIn.fail(error, attempt)
    try {
      return await this.#renew(stored)
    } catch (again) {
      throw this.#signIn.fail(toGatewayError(again), { stored, refused })
    }
  }
}

function toGatewayError(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  return new GatewayError('GW_INTERNAL', 'renewing the credentials failed', { cause })
}

const TOO_MANY_REFUSALS =
  'The upstream refuses the tokens of this gateway although they were just renewed. Try again in a minute.'

/** Timers do not count while a machine sleeps, so none is longer than this. */
const MAX_TIMER_MS = 60_000
/** Whatever goes wrong, nothing is renewed in a tight loop. */
const MIN_TIMER_MS = 1000

/** An alarm for a point of wall-clock time; at most one is set. Never keeps the process alive. */
export class RenewalTimer {
  readonly #clock: WallClock
  readonly #onDue: () => void
  #cancel: (() => void) | null = null

  constructor(clock: WallClock, onDue: () => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  /** Replaces the alarm; a time in the past means soon, `null` means never. */
  set(at: number | null): void {
    this.clear()
    if (at === null) return
    const delayMs = Math.min(Math.max(at - this.#clock.now(), MIN_TIMER_MS), MAX_TIMER_MS)
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = null
      if (this.#clock.now() < at) this.set(at)
      else this.#onDue()
    })
  }

  clear(): void {
    this.#cancel?.()
    this.#cancel = null
  }
}

const MAX_FORCED = 5
const WINDOW_MS = 60_000

/**
 * At most five forced refreshes a minute. An upstream that refuses every new token would otherwise have each
 * request fetch another one.
 */
export class ForcedRefreshLimit {
  /** Bounded by MAX_FORCED. */
  #times: readonly number[] = []

  /** Counts one. False, and nothing is counted, if there were too many. */
  allow(now: number): boolean {
    const recent = this.#times.filter((time) => now - time < WINDOW_MS)
    const isAllowed = recent.length < MAX_FORCED
    this.#times = isAllowed ? [...recent, now] : recent
    return isAllowed
  }
}

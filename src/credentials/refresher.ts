import { join } from 'node:path'
import type { Config } from '../config/settings.ts'
import type { CredentialSnapshot } from '../kiro/wire/credential-snapshot.ts'
import { GatewayError } from '../shared/errors.ts'
import { renewOnce, type RenewOptions, renewTokens, WALL_CLOCK, type WallClock } from './renew.ts'
import { isFinalRefusal } from './renewal-failure.ts'
import {
  type CredentialState,
  type FailedAttempt,
  SignIn,
  type SignInOptions,
  tokenAge
} from './sign-in.ts'
import { type HeldLock, FileLock } from '../shared/file-lock.ts'
import { singleFlight } from '../shared/single-flight.ts'
import type { SharedSignIn } from './shared-sign-in.ts'
import type { CredentialSource, StoredCredential } from './stored-credential.ts'
import { CredentialVault } from './vault.ts'

export interface CredentialRefresherOptions
  extends Pick<SignInOptions, 'log' | 'onChange' | 'random'>,
    Pick<RenewOptions, 'call' | 'upstream'> {
  readonly source: CredentialSource
  readonly settings: Config['credentials']
  readonly clock?: WallClock
}

/** Renews the sign-in, alone in the cluster (kiro-protocol §3.8), after locking and reading the source again. */
export class CredentialRefresher {
  readonly #vault: CredentialVault
  readonly #clock: WallClock
  readonly #renewal: RenewOptions
  readonly #signIn: SignIn
  readonly #timer: RenewalTimer
  readonly #lock: FileLock
  #share: SharedSignIn | null = null
  readonly #forced = new ForcedRefreshLimit()
  readonly #leaving = new AbortController()
  #phase: 'new' | 'running' | 'closed' = 'new'
  readonly #attemptOnce = singleFlight(
    (refused: string | null) => this.#attempt(refused),
    () => this.#schedule()
  )
  #publishing: Promise<void> = Promise.resolve()
  #released: Promise<void> = Promise.resolve()

  constructor(options: CredentialRefresherOptions) {
    const { source, settings, upstream, call, log, clock = WALL_CLOCK } = options
    const { id, loginHint, lockPath: path = null } = source
    const { idpHosts, stateDir } = settings
    this.#lock = new FileLock({
      path,
      fallbackPath: join(stateDir, 'credentials', `${id}.lock`),
      note: 'kiro-gateway renews this sign-in'
    })
    this.#vault = new CredentialVault(source, stateDir, log)
    this.#clock = clock
    const leaving = this.#leaving.signal
    this.#renewal = { call, clock, upstream, idpHosts, loginHint, leaving }
    this.#signIn = new SignIn({ ...options, clock, isShared: () => this.#share !== null })
    const renew = (): void => void this.#refresh(null).catch(() => {}) // remembered by the sign-in
    this.#timer = new RenewalTimer(clock, renew)
  }

  /** Must be called before `start()`. */
  share(share: SharedSignIn): void {
    this.#share = share
    this.#vault.sharing = { share, now: () => this.#clock.now() }
    share.onNews(() => void this.#adoptShared()) // never rejects
  }

  /** If the token is expired, resolves after the first attempt to renew it. @throws {GatewayError} GW_CONFIG_INVALID */
  async start(): Promise<void> {
    if (this.#phase !== 'new') throw new Error('the refresher was started before')
    this.#phase = 'running'
    const stored = await this.#vault.load()
    if (tokenAge(stored, this.#clock.now()) === 'expired') {
      await this.#refresh(null).catch(() => {}) // remembered by the sign-in, repeated by the timer
    } else {
      this.#signIn.adopt(stored)
      this.#schedule()
      if (this.#vault.isAhead) this.#publishing = this.#publish()
    }
  }

  current(): CredentialSnapshot | null {
    return this.#signIn.current()
  }

  /** Epoch ms at which the client registration expires; `null` if never or unknown. */
  get registrationEndsAt(): number | null {
    return this.#signIn.stored?.client?.expiresAt ?? null
  }

  state(): CredentialState {
    return this.#signIn.state()
  }

  /** Returns the token in use, or waits for the next. @throws {GatewayError} as `refused()` */
  async usable(): Promise<CredentialSnapshot> {
    return this.current() ?? (await this.#refresh(null))
  }

  /** Renews a refused token once. @throws {GatewayError} GW_UPSTREAM_AUTH or GW_UPSTREAM_SUSPENDED for good */
  async refused(token: string): Promise<CredentialSnapshot> {
    const current = this.current()
    if (current !== null && current.token !== token) return current
    const snapshot = await this.#refresh(token)
    return snapshot.token === token ? this.#refresh(token) : snapshot // joined one that knew nothing of it
  }

  /** Stops renewing until there is a new sign-in. `reason` goes to the log only. */
  suspended(token: string, reason: string): void {
    const { stored } = this.#signIn
    if (stored === null || stored.accessToken !== token) return
    const error = new GatewayError('GW_UPSTREAM_SUSPENDED', reason)
    this.#signIn.fail(error, { stored, refused: token })
    this.#schedule()
  }

  /**
   * Removes the sign-in by `remove` and uses it no more, until there is a new one. Waits for a renewal under way and
   * holds its lock meanwhile: a renewal would write the sign-in again.
   */
  async forget(remove: () => Promise<boolean>): Promise<boolean> {
    await this.#attemptOnce.running?.catch(() => {}) // its callers hear of it
    await this.#publishing
    await this.#released
    const lock = await this.#lock.acquire(this.#leaving.signal)
    try {
      const wasThere = await remove()
      const { stored } = this.#signIn
      if (stored === null) return wasThere
      const error = new GatewayError('GW_LOGIN_PENDING', 'signed out', { message: SIGNED_OUT })
      this.#signIn.fail(error, { stored, refused: stored.accessToken })
      this.#schedule()
      return wasThere
    } finally {
      this.#released = lock?.release() ?? Promise.resolve()
    }
  }

  /** Reads the sign-in again and adopts a new one at once. Never rejects. */
  async lookAgain(): Promise<void> {
    await this.#adoptShared()
  }

  revive(): void {
    if (!this.#signIn.pardon('GW_UPSTREAM_SUSPENDED')) return
    void this.#refresh(null).catch(() => {}) // remembered by the sign-in
  }

  /** Waits for a renewal that has been sent, because its single-use token must not be lost. Gives up any other. */
  async close(): Promise<void> {
    this.#phase = 'closed'
    this.#timer.clear()
    this.#leaving.abort(new GatewayError('GW_DRAINING'))
    await this.#attemptOnce.running?.catch(() => {}) // its callers hear of it
    await this.#publishing
    await this.#released
  }

  /** Writes tokens that a killed process did not get into the source. */
  async #publish(): Promise<void> {
    let lock: HeldLock | null = null
    try {
      lock = await this.#lock.acquire(this.#leaving.signal)
      await this.#vault.load()
      await this.#vault.publish()
    } catch {
      // Closing, or the source is unreadable, which the next renewal reports.
    } finally {
      await lock?.release()
    }
  }

  #schedule(): void {
    if (this.#phase === 'running') this.#timer.set(this.#signIn.nextRenewalAt)
  }

  #refresh(refused: string | null): Promise<CredentialSnapshot> {
    if (this.#phase !== 'running') return Promise.reject(new GatewayError('GW_DRAINING'))
    return this.#attemptOnce(refused)
  }

  async #attempt(refused: string | null): Promise<CredentialSnapshot> {
    const { pause } = this.#signIn
    if (pause !== null) throw pause.error
    const seen = await this.#look(refused)
    if (seen.adopted !== null) return seen.adopted
    // An expired token would be renewed anyway.
    const isForced = refused !== null && this.current() !== null
    if (isForced && !this.#forced.allow(this.#clock.now())) {
      throw new GatewayError('GW_UPSTREAM_AUTH', undefined, { message: TOO_MANY_REFUSALS })
    }
    const { refreshToken, renewalProblem } = seen.stored
    if (refreshToken === null || renewalProblem !== null) {
      return this.#renewOrRecover({ stored: seen.stored, refused }, null) // which says why it cannot be
    }
    await this.#released
    const lock = await this.#lock.acquire(this.#leaving.signal)
    try {
      const { stored, adopted } = await this.#look(refused)
      // Another process may be about to write the successor of the remembered refresh token.
      const { trouble } = this.#vault
      const isEarly = refused === null && this.current() !== null
      if (trouble !== null && isEarly) throw this.#signIn.fail(trouble, { stored, refused })
      await this.#vault.publish()
      return adopted ?? (await this.#renewOrRecover({ stored, refused }, lock))
    } finally {
      this.#released = lock?.release() ?? Promise.resolve() // not awaited here
    }
  }

  /** Reads the sign-in again; adopts a valid new token. @throws {GatewayError} if it is known to be dead. */
  async #look(refused: string | null): Promise<LookedUp> {
    const stored = await this.#vault.load()
    if (this.#signIn.isNews(stored, refused)) {
      return { stored, adopted: this.#signIn.adopt(stored, this.#clock.now()) }
    }
    const { failure } = this.#signIn
    if (failure?.isFinal === true && failure.stored.refreshToken === stored.refreshToken) {
      throw this.#signIn.fail(failure.error, { stored, refused })
    }
    return { stored, adopted: null }
  }

  async #loadChanged(before: StoredCredential): Promise<StoredCredential> {
    for (let look = 1; ; look += 1) {
      const stored = await this.#vault.load()
      const isChanged = stored.refreshToken !== before.refreshToken
      if (isChanged || look === LOOKS || before.refreshToken === null) return stored
      await this.#clock.sleep(LOOK_AGAIN_MS, this.#leaving.signal).catch(() => {}) // then it is the last
      if (this.#leaving.signal.aborted) return stored
    }
  }

  async #adoptShared(): Promise<void> {
    await this.#attemptOnce.running?.catch(() => {}) // which looks itself
    if (this.#phase !== 'running') return
    try {
      const stored = await this.#vault.load()
      if (this.#phase !== 'running' || !this.#signIn.isNews(stored, null)) return
      this.#signIn.adopt(stored, this.#clock.now())
      this.#schedule()
    } catch {
      // The next renewal reports an unreadable source.
    }
  }

  async #renewOrRecover(
    attempt: FailedAttempt,
    lock: HeldLock | null
  ): Promise<CredentialSnapshot> {
    try {
      return await this.#renew(attempt, lock)
    } catch (cause) {
      return this.#recover(cause, attempt, lock)
    }
  }

  async #renew(attempt: FailedAttempt, lock: HeldLock | null): Promise<CredentialSnapshot> {
    const { stored } = attempt
    const onAttempt = async (): Promise<void> => lock?.extend()
    const isRenewable = stored.refreshToken !== null && stored.renewalProblem === null
    if (this.#share !== null && isRenewable) return this.#renewShared(attempt, onAttempt)
    const tokens = await renewTokens(stored, { ...this.#renewal, onAttempt })
    const issuedAt = this.#clock.now()
    return this.#signIn.adopt(await this.#vault.keep(stored, tokens, issuedAt), issuedAt)
  }

  /** Presents the token only once: other gateways could not tell whether a retry spent it. */
  async #renewShared(
    { stored, refused }: FailedAttempt,
    onAttempt: () => Promise<void>
  ): Promise<CredentialSnapshot> {
    const { signal } = this.#leaving
    const present = async (limitMs: number) => {
      const late = new AbortController()
      const cancel = this.#clock.after(limitMs, () => late.abort(new GatewayError('GW_NOT_READY')))
      const leaving = AbortSignal.any([signal, late.signal])
      const outcome = await renewOnce(stored, { ...this.#renewal, leaving, onAttempt })
      cancel()
      return outcome
    }
    const isUseless = (): boolean =>
      refused !== null || tokenAge(stored, this.#clock.now()) === 'expired'
    const shared = await this.#share?.renew({ stored, isUseless, present, signal })
    if (shared === undefined) throw new GatewayError('GW_INTERNAL', 'the sign-in is not shared')
    const now = this.#clock.now()
    return this.#signIn.adopt(await this.#vault.keepShared(shared, now), now)
  }

  /** A refused token may have been used by another program that left us a new one. */
  async #recover(
    cause: unknown,
    attempt: FailedAttempt,
    lock: HeldLock | null
  ): Promise<CredentialSnapshot> {
    const error = toGatewayError(cause)
    if (!isFinalRefusal(error)) throw this.#signIn.fail(error, attempt)
    const { refused } = attempt
    const stored = await this.#loadChanged(attempt.stored)
    if (this.#signIn.isNews(stored, refused)) {
      return this.#signIn.adopt(stored, this.#clock.now())
    }
    if (stored.refreshToken === attempt.stored.refreshToken) throw this.#signIn.fail(error, attempt)
    try {
      return await this.#renew({ stored, refused }, lock)
    } catch (again) {
      throw this.#signIn.fail(toGatewayError(again), { stored, refused })
    }
  }
}

/** A program that used the refresh token may still have to write the new one. */
const LOOKS = 4
const LOOK_AGAIN_MS = 500

interface LookedUp {
  readonly stored: StoredCredential
  readonly adopted: CredentialSnapshot | null
}

function toGatewayError(cause: unknown): GatewayError {
  if (cause instanceof GatewayError) return cause
  return new GatewayError('GW_INTERNAL', 'renewing the credentials failed', { cause })
}

const TOO_MANY_REFUSALS =
  "The upstream rejects this gateway's tokens although they were just renewed. Try again in a minute."

/** Timers stop while a machine sleeps. */
const MAX_TIMER_MS = 60_000
const MIN_TIMER_MS = 1000

const SIGNED_OUT =
  'The gateway was signed out. Its operator has to sign in again, in the panel or with "kiro-gateway login".'

/** Alarm for a point of wall-clock time. Also fires when the clock was set back. Does not keep the process alive. */
export class RenewalTimer {
  readonly #clock: WallClock
  readonly #onDue: () => void
  #cancel: (() => void) | null = null

  constructor(clock: WallClock, onDue: () => void) {
    this.#clock = clock
    this.#onDue = onDue
  }

  /** A past time means soon; `null` means never. */
  set(at: number | null): void {
    this.clear()
    if (at === null) return
    const setAt = this.#clock.now()
    const delayMs = Math.min(Math.max(at - setAt, MIN_TIMER_MS), MAX_TIMER_MS)
    this.#cancel = this.#clock.after(delayMs, () => {
      this.#cancel = null
      const now = this.#clock.now()
      if (setAt <= now && now < at) this.set(at)
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

/** Limits forced renewals, which an upstream that refuses every new token would otherwise cause with each request. */
export class ForcedRefreshLimit {
  /** Bounded by MAX_FORCED. */
  #times: readonly number[] = []

  allow(now: number): boolean {
    const recent = this.#times.filter((time) => Math.abs(now - time) < WINDOW_MS)
    const isAllowed = recent.length < MAX_FORCED
    this.#times = isAllowed ? [...recent, now] : recent
    return isAllowed
  }
}

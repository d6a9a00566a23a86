import type { Config } from '../../config/settings.ts'
import type { RenewalOutcome, RenewedTokens } from '../../credentials/renew.ts'
import { deadSignIn } from '../../credentials/renewal-failure.ts'
import type { SharedRenewal, SharedSignIn, SharedTokens } from '../../credentials/shared-sign-in.ts'
import { expiryOf } from '../../credentials/sign-in.ts'
import type { CredentialSource, StoredCredential } from '../../credentials/stored-credential.ts'
import {
  isTurnOfMine,
  presentableMs,
  refreshTimes,
  type RefreshTimes,
  turnFor,
  type TurnStep
} from '../../fleet/next-refresh.ts'
import type { SignInFacts } from '../../fleet/sign-in-record.ts'
import { type Instant, instantNow } from '../../shared/elapsed.ts'
import { GatewayError } from '../../shared/errors.ts'
import { FleetSignInState, type FleetSignInStateOptions } from './fleet-sign-in-state.ts'
import { SignInOverlay } from './shared-tokens.ts'

export interface FleetSignInOptions extends Omit<FleetSignInStateOptions, 'now'> {
  readonly times: RefreshTimes
  readonly loginHint: string
  readonly clock: SignInClock
}

export interface FleetMembership
  extends Pick<FleetSignInOptions, 'records' | 'seal' | 'self' | 'isOpen' | 'log'> {
  readonly config: Config
}

export interface SignInClock {
  instant(): Instant
  after(delayMs: number, run: () => void): () => void
}

type Wait = Extract<TurnStep, { readonly type: 'wait' }>
type OurTokens = SharedTokens & { readonly isOurs: boolean }

const PATIENCE_MS = 20_000
/** The fleet has no signal for being complete. */
const SETTLING_LOOK_MS = 500
const AGAIN_MS = 1_000
const LONGEST_WAIT_S = 30

/** The fleet's sign-in: does what `next-refresh.ts` allows. */
export class FleetSignIn implements SharedSignIn {
  readonly #options: FleetSignInOptions
  readonly #known: FleetSignInState
  readonly #bell: NewsBell
  #queue: Promise<unknown> = Promise.resolve()
  #cancelRetry: (() => void) | null = null
  /** A pending look covers all news until it begins. */
  #isLookDue = false
  #onNews: () => void = () => {}
  #isClosed = false

  private constructor(options: FleetSignInOptions, known: FleetSignInState) {
    this.#options = options
    this.#known = known
    this.#bell = new NewsBell(options.clock)
  }

  static of(source: CredentialSource, membership: FleetMembership): Promise<FleetSignIn> {
    const { config, ...rest } = membership
    const { fleet, credentials } = config
    const name = recordNameOf(source)
    return FleetSignIn.open({
      ...rest,
      fleet: fleet.name,
      source: name,
      overlay: new SignInOverlay(credentials.stateDir, name),
      times: refreshTimes(fleet.leaseMs),
      loginHint: source.loginHint,
      clock: CLOCK
    })
  }

  static async open(options: FleetSignInOptions): Promise<FleetSignIn> {
    const known = await FleetSignInState.open({ ...options, now: () => options.clock.instant() })
    const signIn = new FleetSignIn(options, known)
    signIn.#listen()
    return signIn
  }

  get facts(): SignInFacts | null {
    return this.#known.state.own
  }

  /** Gateway that renews, or did last; `null` before the first. */
  get holder(): string | null {
    const { holder = '' } = this.facts ?? {}
    return holder === '' ? null : holder
  }

  onNews(listener: () => void): void {
    this.#onNews = listener
  }

  newest(own: StoredCredential): Promise<SharedTokens> {
    return this.#alone(async () => {
      this.#known.setFiles(own)
      await this.#sync()
      return this.#known.shared() ?? { stored: own, isOfFiles: true }
    })
  }

  async renew(renewal: SharedRenewal): Promise<OurTokens> {
    const { stored, isUseless, signal } = renewal
    const deadline = this.#now().mono + PATIENCE_MS
    for (;;) {
      signal.throwIfAborted()
      const step = await this.#alone(() => this.#step(isUseless(), stored))
      if (step === 'granted') return this.#present(renewal)
      if (step.type === 'done') return { ...step.shared, isOurs: false }
      if (step.type === 'refused') throw deadSignIn(DEAD, this.#options.loginHint)
      const leftMs = deadline - this.#now().mono
      const isWorthIt = step.why === 'settling' || step.why === 'holder'
      if (!isWorthIt || leftMs <= 0) throw this.#notNow(step)
      const lookMs = step.why === 'settling' ? SETTLING_LOOK_MS : Infinity
      await this.#bell.rung(Math.min(step.ms, leftMs, lookMs), signal)
    }
  }

  close(): void {
    this.#isClosed = true
    this.#cancelRetry?.()
  }

  #listen(): void {
    const { records, source } = this.#options
    const off = records.onNews((name) => {
      if (this.#isClosed) off()
      else if (name === source || name === null) void this.#look()
    })
  }

  async #look(): Promise<void> {
    if (this.#isLookDue) return
    this.#isLookDue = true
    const before = this.#known.tokens?.accessToken
    await this.#alone(() => {
      this.#isLookDue = false
      return this.#sync()
    })
    this.#bell.ring()
    if (this.#known.tokens?.accessToken !== before) this.#onNews()
  }

  /** Takes the turn to renew `stored` if allowed and not renewed yet. */
  async #step(isUseless: boolean, stored: StoredCredential) {
    const { times, log } = this.#options
    if (!(await this.#sync())) return UNREAD
    const shared = this.#known.shared()
    if (shared !== null && shared.stored.accessToken !== stored.accessToken) {
      return { type: 'done', shared } as const
    }
    const step = turnFor(this.#known.state, { now: this.#now(), isUseless, times })
    if (step.type !== 'take') return step
    const { facts, isSecond } = step
    if (isSecond) log.error({ gen: facts.gen, after: this.facts?.holder }, SECOND)
    this.#known.tell({ type: 'asked', facts, at: this.#now() })
    const isTaken = await this.#known.write(facts).catch(() => null)
    if (isTaken === null) return UNREAD
    if (!isTaken) return { type: 'wait', ms: 0, why: 'holder' } as const // another gateway was faster
    this.#known.tell({ type: 'granted' })
    await this.#known.save()
    return 'granted'
  }

  async #present({ present }: SharedRenewal): Promise<OurTokens> {
    const limitMs = presentableMs(this.#known.state, this.#now(), this.#options.times)
    if (limitMs === 0) throw this.#notNow({ type: 'wait', ms: 0, why: 'settling' })
    this.#known.tell({ type: 'presented' })
    const outcome = await present(limitMs)
    return this.#alone(async () => {
      if (outcome.type !== 'renewed') throw await this.#onFailure(outcome)
      return this.#keep(outcome.tokens)
    })
  }

  /** Own overlay first, then Valkey; resolves when both have it, or Valkey does not answer. */
  async #keep(got: RenewedTokens): Promise<OurTokens> {
    const before = this.#known.tokens
    if (before === null) throw new Error('sign-in not renewed')
    const isTaken = this.#known.take({
      ...before,
      refreshToken: got.refreshToken ?? before.refreshToken,
      accessToken: got.accessToken,
      expiresAt: expiryOf(got.expiresInS, this.#now().wall),
      profileArn: got.profileArn ?? before.profileArn
    })
    await this.#known.save()
    const isTold = await this.#sync()
    const { log } = this.#options
    const gen = this.facts?.gen
    if (!isTaken) log.info({ gen }, 'a newer sign-in appeared and is used')
    else if (isTold) log.info({ gen }, 'sign-in renewed for the fleet')
    else log.warn({ gen }, "sign-in renewed; it will be shared once the fleet's Valkey answers")
    return { ...(this.#known.shared() ?? { stored: before, isOfFiles: true }), isOurs: isTaken }
  }

  async #onFailure(
    outcome: Exclude<RenewalOutcome, { readonly type: 'renewed' }>
  ): Promise<GatewayError> {
    const { type, error } = outcome
    if (type === 'unknown') {
      this.#options.log.error({ gen: this.facts?.gen, err: error }, LOST)
      this.#known.tell({ type: 'lost' })
      return error
    }
    this.#known.tell({ type })
    await this.#known.save()
    await this.#sync()
    return error
  }

  async #sync(): Promise<boolean> {
    const isHeard = await this.#known.sync()
    if (this.#known.isUntold && !this.#isClosed) {
      this.#cancelRetry ??= this.#options.clock.after(AGAIN_MS, () => {
        this.#cancelRetry = null
        void this.#look()
      })
    }
    return isHeard
  }

  #notNow({ why, ms }: Wait): GatewayError {
    const { log } = this.#options
    const { state } = this.#known
    const { holder = '', fence } = this.facts ?? {}
    const isLost = this.facts !== null && isTurnOfMine(state, this.facts)
    const usableMs = (this.#known.tokens?.expiresAt ?? 0) - this.#now().wall
    const waitS = Math.max(1, Math.ceil((Number.isFinite(ms) ? ms : usableMs) / 1000))
    if (why === 'doubt' && !isLost) {
      this.#known.sayOnce(`doubt ${fence}`, () => log.error({ holder, usableMs }, DOUBT))
    }
    const retryAfterS = {
      unread: 2,
      settling: 1,
      holder: Math.min(LONGEST_WAIT_S, waitS),
      doubt: Math.min(LONGEST_WAIT_S, waitS) // a new sign-in in the files is looked for meanwhile
    }
    const message = REASONS[why].replace('HOLDER', holder)
    return new GatewayError('GW_NOT_READY', undefined, { message, retryAfterS: retryAfterS[why] })
  }

  #now(): Instant {
    return this.#options.clock.instant()
  }

  #alone<T>(run: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(run)
    this.#queue = result.catch(() => {})
    return result
  }
}

/** One record for all gateways that sign in by files, and one for each REFRESH_TOKEN. */
export function recordNameOf({ id, isSetting }: Partial<CredentialSource>): string {
  return `sign-in.${isSetting === true ? id : 'files'}`
}

const CLOCK: SignInClock = {
  instant: instantNow,
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs).unref()
    return () => clearTimeout(timer)
  }
}

class NewsBell {
  readonly #clock: Pick<SignInClock, 'after'>
  /** Bounded by the renewals that run: one. */
  readonly #waiting = new Set<() => void>()

  constructor(clock: Pick<SignInClock, 'after'>) {
    this.#clock = clock
  }

  ring(): void {
    for (const wake of this.#waiting) wake()
  }

  rung(longestMs: number, signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const cancel = Number.isFinite(longestMs) ? this.#clock.after(longestMs, resolve) : () => {}
    this.#waiting.add(resolve)
    signal.addEventListener('abort', () => resolve(), { once: true })
    return promise.finally(() => {
      cancel()
      this.#waiting.delete(resolve)
    })
  }
}

const UNREAD: Wait = { type: 'wait', ms: Infinity, why: 'unread' }

const DEAD = 'the token service refused the renewal by a gateway of the fleet'
const SECOND =
  'the refresh token may already be used; it is tried once more. If that ends the sign-in, sign in again'
const LOST =
  'the token service did not say whether it accepted the refresh token, which may be used up: no gateway tries it again before the access token has expired. A new sign-in resolves this'
const DOUBT =
  'a gateway disappeared while renewing the sign-in, and the refresh token may be used up: restart that gateway if its STATE_DIR still exists, or sign in again, before the access token expires'

const REASONS = {
  unread:
    "The sign-in cannot be renewed while the fleet's Valkey does not answer, because another gateway may be renewing it.",
  settling: 'The gateways of the fleet are exchanging the state of the sign-in.',
  holder: 'HOLDER, another gateway of the fleet, is renewing the sign-in.',
  doubt:
    'HOLDER was renewing the sign-in for the fleet, and the result is unknown. The refresh token may be used up; it is tried once more when the access token has expired. A new sign-in resolves this.'
} as const

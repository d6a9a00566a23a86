import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'
import type { Logger } from '../observe/logger.ts'
import type { GatewayError } from '../shared/errors.ts'
import type { Clock } from './clock.ts'
import {
  type CredentialState,
  type FailedAttempt,
  failureAfter,
  type HeldCredential,
  nextRenewalAt,
  type RenewalFailure,
  stateOf
} from './credential-state.ts'
import { dueAtOf, tokenAge } from './expiry.ts'
import type { CredentialSource, StoredCredential } from './stored-credential.ts'
import { type SnapshotSettings, toSnapshot } from './to-snapshot.ts'

export interface SignInOptions {
  readonly source: Pick<CredentialSource, 'id' | 'name'>
  readonly settings: SnapshotSettings
  readonly clock: Pick<Clock, 'now'>
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>
  /** Called with every new token and when the sign-in stops to work. Must not throw. */
  readonly onChange: (state: CredentialState) => void
}

/** What is known of the account's sign-in now: the token in use and the last failure to renew it. No I/O. */
export class SignIn {
  readonly #options: SignInOptions
  #held: HeldCredential | null = null
  #failure: RenewalFailure | null = null
  #reported: CredentialState['name'] = 'waiting'

  constructor(options: SignInOptions) {
    this.#options = options
  }

  state(): CredentialState {
    return stateOf(this.#held, this.#failure, this.#options.clock.now())
  }

  /** The token to use now; `null` while there is no valid one. */
  current(): CredentialSnapshot | null {
    const state = this.state()
    return state.name === 'usable' ? state.snapshot : null
  }

  /** The sign-in behind the token in use, also if that has expired. */
  get stored(): StoredCredential | null {
    return this.#held?.stored ?? null
  }

  get failure(): RenewalFailure | null {
    return this.#failure
  }

  /** Epoch ms; `null` is never. */
  get nextRenewalAt(): number | null {
    return nextRenewalAt(this.#held, this.#failure)
  }

  /** Whether a source holds a valid token other than those that are known to be bad or about to expire. */
  isNews(stored: StoredCredential, refused: string | null): boolean {
    const known = [refused, this.#failure?.spentToken, this.#held?.snapshot.token]
    if (stored.accessToken === null || known.includes(stored.accessToken)) return false
    const age = tokenAge(stored, this.#options.clock.now())
    return age === 'fresh' || (age === 'due' && (refused !== null || this.current() === null))
  }

  /** Takes a token into use. `issuedAt` is known of those that were renewed just now. */
  adopt(stored: StoredCredential, issuedAt?: number): CredentialSnapshot {
    const { source, settings, log, onChange } = this.#options
    const { accessToken, expiresAt } = stored
    if (accessToken === null) throw new Error('a sign-in without token was adopted')
    const snapshot = toSnapshot(source.id, { ...stored, accessToken }, settings)
    this.#held = { stored, snapshot, dueAt: dueAtOf(expiresAt, issuedAt) }
    this.#failure = null
    this.#reported = 'usable'
    log.info({ source: source.name, expiresAt }, 'credentials ready')
    onChange(this.state())
    return snapshot
  }

  /**
   * Remembers a failure and returns it, to be thrown. A token that still works stays in use, unless it was
   * refused and cannot be renewed. What could never be renewed, such as an API key, stays in use in any case:
   * there is nothing that could replace it, and the refusal may pass.
   */
  fail(error: GatewayError, attempt: FailedAttempt): GatewayError {
    const { clock, log, source, onChange } = this.#options
    const { stored, refused } = attempt
    const isIrreplaceable = stored.refreshToken === null && this.current() !== null
    if (isIrreplaceable && error.code === 'GW_UPSTREAM_AUTH') return error
    const isNews = this.#failure?.error.message !== error.message
    this.#failure = failureAfter(this.#failure, error, { stored, refused, now: clock.now() })
    const { isFinal, spentToken } = this.#failure
    if (isFinal && this.#held?.snapshot.token === spentToken) this.#held = null
    const level = isFinal ? 'error' : 'warn'
    if (isNews) log[level]({ source: source.name, err: error }, 'credentials not renewed')
    const state = this.state()
    if (state.name !== this.#reported) onChange(state)
    this.#reported = state.name
    return error
  }
}

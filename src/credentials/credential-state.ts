import type { CredentialSnapshot } from '../kiro/credential-snapshot.ts'
import type { GatewayError } from '../shared/errors.ts'
import { isFinalRefusal } from './refresh-answer.ts'
import type { StoredCredential } from './stored-credential.ts'

/**
 * How the sign-in is, for readiness and for the workers.
 *
 * ```
 *             ┌────── renewed, or a new sign-in ──────┐
 *             ▼                                       │
 *   waiting ──token──▶ usable ──expired──▶ waiting    │
 *                        │                   │        │
 *                        └─refused for good──┴──▶ dead┘
 * ```
 */
export type CredentialState =
  /** `problem` is why renewing fails at the moment, while the token still works. */
  | {
      readonly name: 'usable'
      readonly snapshot: CredentialSnapshot
      readonly problem: GatewayError | null
    }
  /** No valid token now; renewing goes on. */
  | { readonly name: 'waiting'; readonly problem: GatewayError | null }
  /** Only a new sign-in helps; the source is looked at from time to time. */
  | { readonly name: 'dead'; readonly problem: GatewayError }

/** The sign-in in use. */
export interface HeldCredential {
  readonly stored: StoredCredential
  readonly snapshot: CredentialSnapshot
  /** Epoch ms from which on it is renewed in the background; `null` is never. */
  readonly dueAt: number | null
}

/** The last attempt to renew, if it failed. */
export interface RenewalFailure {
  readonly error: GatewayError
  /** The refresh token is used up; only another one is worth an attempt. */
  readonly isFinal: boolean
  /** The sign-in that failed. */
  readonly stored: StoredCredential
  /** Failures in a row. */
  readonly count: number
  /** Epoch ms before which nobody asks again; whoever wants a token gets `error`. */
  readonly retryAt: number
  /** A token that the upstream refused and that must not come back. */
  readonly spentToken: string | null
}

const MAX_RETRY_DELAY_MS = 60_000
const MAX_ASKED_DELAY_MS = 600_000
/** How often a dead sign-in's source is looked at. */
const DEAD_RETRY_DELAY_MS = 5_000

export function stateOf(
  held: HeldCredential | null,
  failure: RenewalFailure | null,
  now: number
): CredentialState {
  if (held !== null && !isExpired(held, now)) {
    return { name: 'usable', snapshot: held.snapshot, problem: failure?.error ?? null }
  }
  if (failure?.isFinal === true) return { name: 'dead', problem: failure.error }
  return { name: 'waiting', problem: failure?.error ?? null }
}

function isExpired(held: HeldCredential, now: number): boolean {
  const { expiresAt } = held.snapshot
  return expiresAt !== null && expiresAt <= now
}

/** When to renew next, in epoch ms; `null` is never. */
export function nextRenewalAt(
  held: HeldCredential | null,
  failure: RenewalFailure | null
): number | null {
  if (failure !== null) return failure.retryAt
  return held === null ? null : held.dueAt
}

export interface FailedAttempt {
  readonly stored: StoredCredential
  /** The token that the upstream refused, if that was the reason for the attempt. */
  readonly refused: string | null
}

/** What is remembered of a failed attempt, after the failures before it. */
export function failureAfter(
  before: RenewalFailure | null,
  error: GatewayError,
  attempt: FailedAttempt & { readonly now: number }
): RenewalFailure {
  const { stored, refused, now } = attempt
  const isFinal = isFinalRefusal(error)
  const count = (before?.count ?? 0) + 1
  const retryAt = now + (isFinal ? DEAD_RETRY_DELAY_MS : retryDelayMs(error, count))
  const spentToken = (isFinal ? refused : null) ?? before?.spentToken ?? null
  return { error, isFinal, stored, count, retryAt, spentToken }
}

/** Delay after so many failures in a row: 1, 2, 4 … 60 s, or what the service asked for. */
function retryDelayMs(error: GatewayError, count: number): number {
  const askedMs = Math.min((error.retryAfterS ?? 0) * 1000, MAX_ASKED_DELAY_MS)
  return Math.max(askedMs, Math.min(1000 * 2 ** Math.min(count - 1, 10), MAX_RETRY_DELAY_MS))
}

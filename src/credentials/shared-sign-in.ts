import type { RenewalOutcome } from './renew.ts'
import type { StoredCredential } from './stored-credential.ts'

/** Tokens shared by several gateways. */
export interface SharedTokens {
  readonly stored: StoredCredential
  /** True if the own files hold an earlier form of this sign-in, so that this may be written there. */
  readonly isOfFiles: boolean
}

export interface SharedRenewal {
  /** The sign-in whose refresh token is to be traded. */
  readonly stored: StoredCredential
  /** The access token is of no use any more: it has expired, or was refused. */
  readonly isUseless: () => boolean
  /** Presents the refresh token; what is not sent after so many milliseconds must not be. Never rejects. */
  readonly present: (limitMs: number) => Promise<RenewalOutcome>
  /** Aborts when nothing new is to be begun. */
  readonly signal: AbortSignal
}

/** A sign-in that several gateways have together: one at a time renews it, and all use what that one got. */
export interface SharedSignIn {
  /** The newest that any of them has, once it was looked whether `own`, the newest of the own files, is newer. Never rejects. */
  newest(own: StoredCredential): Promise<SharedTokens>
  /**
   * Renews it when it is this gateway's turn, else waits for the gateway that has the turn. The result is already
   * stored for all of them.
   *
   * @throws {GatewayError} as `renewTokens()`, and GW_NOT_READY when no token may be presented now
   */
  renew(renewal: SharedRenewal): Promise<SharedTokens & { readonly isOurs: boolean }>
  /** Hears that another gateway has renewed it, or signed in. At most one listens. */
  onNews(listener: () => void): void
}

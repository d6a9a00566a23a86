import type { RenewalOutcome } from './renew.ts'
import type { StoredCredential } from './stored-credential.ts'

export interface SharedTokens {
  readonly stored: StoredCredential
  /** The own files hold an earlier form of this sign-in, so it may be written there. */
  readonly isOfFiles: boolean
}

export interface SharedRenewal {
  readonly stored: StoredCredential
  readonly isUseless: () => boolean
  /** Presents the refresh token; must not send it later than after this many ms. */
  readonly present: (limitMs: number) => Promise<RenewalOutcome>
  readonly signal: AbortSignal
}

/** Sign-in shared by several gateways: one at a time renews it for all. */
export interface SharedSignIn {
  newest(own: StoredCredential): Promise<SharedTokens>
  /** The result is already stored. @throws {GatewayError} as `renewTokens()`; GW_NOT_READY if it may not be tried */
  renew(renewal: SharedRenewal): Promise<SharedTokens & { readonly isOurs: boolean }>
  /** Listens for renewals and sign-ins of other gateways. At most one listener. */
  onNews(listener: () => void): void
}

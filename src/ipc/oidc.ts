/** Values that prove that an answer of the provider belongs to the browser that has begun. */
export interface OidcChecks {
  readonly state: string
  readonly nonce: string
  /** PKCE's code verifier. */
  readonly verifier: string
}

/** Why the sign-in failed. The page has a sentence for each. */
export type OidcRefusal =
  | 'unavailable'
  | 'denied'
  | 'not-allowed'
  | 'unverified'
  | 'stale'
  | 'often'
  | 'failed'

/** A step of a sign-in by OpenID Connect. The primary has the client's secret and asks the provider. */
export type OidcCall =
  | { readonly name: 'begin'; readonly redirectUri: string }
  | {
      readonly name: 'finish'
      /** Address at which the browser has come back, with its query. */
      readonly url: string
      readonly checks: OidcChecks
      readonly address: string
    }
  | { readonly name: 'end'; readonly returnTo: string }

export type OidcAnswer =
  | { readonly name: 'begun'; readonly url: string; readonly checks: OidcChecks }
  | { readonly name: 'signed-in'; readonly user: string; readonly by: string }
  /** Page of the provider that signs out there; `null` without one. */
  | { readonly name: 'ended'; readonly url: string | null }
  | { readonly name: 'refused'; readonly reason: OidcRefusal }

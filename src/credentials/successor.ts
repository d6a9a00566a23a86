import { hashOf, type StoredCredential } from './stored-credential.ts'

/** Tokens that we got for what a source holds; they supersede it until somebody signs in anew. */
export interface Successor {
  /** Hash of the refresh token that the source held when these were issued. */
  readonly derivedFrom: string
  /** Hash of the access token that the source held then: it may have been refused long before its expiry. */
  readonly replaces: string
  readonly accessToken: string
  readonly refreshToken: string | null
  /** Epoch ms. */
  readonly expiresAt: number
  readonly profileArn: string | null
}

/** Identifies the sign-in that a source holds now. */
export function signInOf(source: StoredCredential): string {
  return hashOf(source.refreshToken ?? '')
}

/** Identifies the access token that a source holds now. */
export function tokenOf(source: StoredCredential): string {
  return hashOf(source.accessToken ?? '')
}

/**
 * The newest tokens of a sign-in. Successors of another sign-in are dropped: whoever wrote the source since
 * then had newer tokens than we. Of those that belong to it, the one that lives longest wins; when the source
 * itself has got a younger access token since, that one is used with the successor's refresh token.
 */
export function reconcile(
  source: StoredCredential,
  successors: readonly (Successor | null)[]
): StoredCredential {
  const signIn = signInOf(source)
  let newest: Successor | null = null
  for (const successor of successors) {
    if (successor === null) continue
    const isOurs =
      successor.derivedFrom === signIn || hashOf(successor.refreshToken ?? '') === signIn
    if (isOurs && (newest === null || successor.expiresAt > newest.expiresAt)) newest = successor
  }
  if (newest === null) return source
  const refreshToken = newest.refreshToken ?? source.refreshToken
  const profileArn = newest.profileArn ?? source.profileArn
  const hasOtherToken = source.accessToken !== null && tokenOf(source) !== newest.replaces
  if (hasOtherToken && (source.expiresAt ?? 0) > newest.expiresAt)
    return { ...source, refreshToken, profileArn }
  const { accessToken, expiresAt } = newest
  return { ...source, accessToken, refreshToken, expiresAt, profileArn }
}

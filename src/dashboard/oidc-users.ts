import { createHash } from 'node:crypto'

/** Settings of the sign-in by OpenID Connect. */
export interface OidcRules {
  readonly oidcIssuer: string | null
  readonly oidcClientId: string | null
  readonly operators: readonly string[]
  readonly oidcGroups: readonly string[]
}

export interface OidcUser {
  readonly user: string
  /** The rule that lets them in: `email:` with an entry of DASHBOARD_OPERATORS, or `group:` with a group. */
  readonly by: string
}

type Claims = Readonly<Record<string, unknown>>

const SUBJECT = /^oidc-([\w-]{1,590})$/
const MAX_USER_CHARS = 200
const MAX_SUBJECT_CHARS = 595

/** Finds the rule that lets a user in. An e-mail address counts only if the provider has verified it. */
export function admitOidcUser(
  claims: Claims,
  { operators, oidcGroups }: Pick<OidcRules, 'operators' | 'oidcGroups'>
): OidcUser | 'not-allowed' | 'unverified' {
  const { email, groups } = claims
  const address = typeof email === 'string' ? email.toLowerCase() : ''
  const isVerified = claims['email_verified'] === true || claims['email_verified'] === 'true'
  const entry = operators.find((one) => isAddressIn(address, one))
  const user = nameOf(claims, isVerified ? address : '')
  if (entry !== undefined && isVerified) return { user, by: `email:${entry}` }
  const own = Array.isArray(groups) ? groups : [groups]
  const group = oidcGroups.find((one) => own.includes(one))
  if (group !== undefined) return { user, by: `group:${group}` }
  return entry === undefined ? 'not-allowed' : 'unverified'
}

/** Subject of such a user's session; `null` if it would be too long for a cookie. */
export function oidcSubject({ user, by }: OidcUser): string | null {
  const subject = `oidc-${Buffer.from(JSON.stringify([user, by])).toString('base64url')}`
  return subject.length <= MAX_SUBJECT_CHARS ? subject : null
}

/** `null` for a subject of another kind. */
export function oidcUserOf(subject: string): OidcUser | null {
  const [, text] = SUBJECT.exec(subject) ?? []
  if (text === undefined) return null
  try {
    const found: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (!Array.isArray(found)) return null
    const [user, by] = found
    return typeof user === 'string' && typeof by === 'string' ? { user, by } : null
  } catch {
    return null // a made-up cookie
  }
}

/** Digests that sign sessions of such a user: none if the rule that has let them in is not in force any more. */
export function oidcDigests({ by }: OidcUser, rules: OidcRules): readonly Buffer[] {
  const { oidcIssuer, oidcClientId, operators, oidcGroups } = rules
  if (oidcIssuer === null) return []
  const inForce = [
    ...operators.map((one) => `email:${one}`),
    ...oidcGroups.map((one) => `group:${one}`)
  ]
  if (!inForce.includes(by)) return []
  const provider = `oidc\0${oidcIssuer}\0${oidcClientId ?? ''}`
  return [createHash('sha256').update(provider).digest()]
}

/** `*@example.com` stands for all addresses of a domain; `*` alone is for users of a proxy. */
function isAddressIn(address: string, entry: string): boolean {
  const wanted = entry.toLowerCase()
  if (!address.includes('@') || !wanted.includes('@')) return false
  if (!wanted.startsWith('*@')) return address === wanted
  return address.slice(address.lastIndexOf('@')) === wanted.slice(1)
}

/** A name that its user can choose stands beside the subject, which the provider gives once. */
function nameOf({ sub, preferred_username: chosen }: Claims, address: string): string {
  if (address !== '') return printable(address)
  const subject = printable(sub)
  return typeof chosen === 'string' ? `${printable(chosen).slice(0, 80)} (${subject})` : subject
}

function printable(value: unknown): string {
  const text = typeof value === 'string' ? value : ''
  return text.replace(/[^\p{L}\p{N}\p{P}\p{S} ]/gu, '?').slice(0, MAX_USER_CHARS)
}

import type { AuthType } from '../kiro/credential-snapshot.ts'
import { type JsonObject, textMember } from '../kiro/json-object.ts'
import { isProfileArn, isRegion } from '../kiro/regions.ts'
import { parseExpiry } from './expiry.ts'
import { isTokenText, type OidcClient, type StoredCredential } from './stored-credential.ts'

const BUILDER_ID_START_URL = 'https://view.awsapps.com/start'

/** A file's sign-in, and what was odd about it but not fatal. */
export interface IdeToken {
  readonly stored: StoredCredential
  /** Sentences for a warning; without any secret. */
  readonly oddities: readonly string[]
}

/** The client registration, or why there is none. */
export type Registration = OidcClient | { readonly problem: string } | null

/**
 * Reads the token file of the Kiro IDE or an AWS SSO cache file (kiro-protocol §3.2, §3.4). The registration
 * comes from the companion file where the token file does not hold it.
 *
 * @throws {Error} whose message completes the sentence "the file …".
 */
export function parseIdeToken(
  file: JsonObject,
  registration: Registration,
  fallbackRegion: string
): IdeToken {
  const oddities: string[] = []
  const accessToken = tokenOf(file, 'accessToken')
  const refreshToken = tokenOf(file, 'refreshToken')
  if (accessToken === null && refreshToken === null) {
    throw new Error('has neither "accessToken" nor "refreshToken".')
  }
  const authType = authTypeOf(file, accessToken, registration)
  const arn = textMember(file, 'profileArn')
  if (arn !== null && !isProfileArn(arn)) oddities.push('profileArn is malformed and not used')
  const expiresAt = parseExpiry(file['expiresAt'])
  if (expiresAt === null && authType !== 'api-key')
    oddities.push('expiresAt is missing or unreadable')
  // The shared ARN of Builder ID depends on the host; a stored one would be sent where it must not be.
  const profileArn = arn !== null && isProfileArn(arn) && authType !== 'builder-id' ? arn : null
  const stored: StoredCredential = {
    authType,
    accessToken,
    refreshToken: authType === 'api-key' ? null : refreshToken,
    expiresAt: authType === 'api-key' ? null : expiresAt,
    profileArn,
    ssoRegion: regionOf(file, 'region') ?? fallbackRegion,
    apiRegion: regionOf(file, 'apiRegion'),
    client: registration !== null && 'clientId' in registration ? registration : null,
    renewalProblem: renewalProblemOf(authType, registration)
  }
  return { stored, oddities }
}

/** The registration inside the token file itself. */
export function inlineClient(file: JsonObject): OidcClient | null {
  const clientId = textMember(file, 'clientId')
  const clientSecret = textMember(file, 'clientSecret')
  return clientId === null || clientSecret === null ? null : { clientId, clientSecret }
}

/** What the file says of how it was made, without case and separators. */
function methodOf(file: JsonObject): string {
  return (textMember(file, 'authMethod') ?? '').toLowerCase().replaceAll(/[-_ ]/g, '')
}

function authTypeOf(
  file: JsonObject,
  accessToken: string | null,
  registration: Registration
): AuthType {
  const method = methodOf(file)
  if (accessToken?.startsWith('ksk_') === true) return 'api-key'
  if (method === 'apikey') throw new Error('says it holds an API key, but "accessToken" is none.')
  if (method === 'externalidp') return 'external-idp'
  const hasClient = registration !== null && 'clientId' in registration
  if (method === 'social' && !hasClient) return 'social'
  const isOidc = registration !== null || ['idc', 'builderid', 'iam'].includes(method)
  if (!isOidc) return 'social'
  const provider = (textMember(file, 'provider') ?? '').toLowerCase()
  const isBuilderId =
    method === 'builderid' ||
    provider === 'builderid' ||
    textMember(file, 'startUrl')?.replace(/\/+$/, '') === BUILDER_ID_START_URL
  return isBuilderId ? 'builder-id' : 'idc'
}

function renewalProblemOf(authType: AuthType, registration: Registration): string | null {
  if (authType === 'api-key') return 'an API key cannot be renewed'
  if (authType === 'external-idp') {
    return 'a sign-in through an external identity provider can only be renewed by the Kiro IDE'
  }
  if (authType === 'social') return null
  if (registration === null) {
    return 'the file names no client registration ("clientIdHash", or "clientId" and "clientSecret")'
  }
  return 'problem' in registration ? registration.problem : null
}

function tokenOf(file: JsonObject, name: string): string | null {
  const token = textMember(file, name)
  if (token !== null && (!isTokenText(token) || token.includes('...'))) {
    throw new Error(`has a damaged "${name}": it was cut short or changed when it was copied.`)
  }
  return token
}

function regionOf(file: JsonObject, name: string): string | null {
  const region = textMember(file, name)
  if (region !== null && !isRegion(region)) {
    throw new Error(`has a "${name}" that is no AWS region.`)
  }
  return region
}

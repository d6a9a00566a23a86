import type { AuthType } from '../kiro/wire/credential-snapshot.ts'
import { isProfileArn, isRegion } from '../kiro/wire/hosts.ts'
import type { Logger } from '../observe/logger.ts'
import { getOwn, type JsonObject, textMember } from '../shared/json.ts'
import { parseExpiry } from './sign-in.ts'
import {
  type IdpClient,
  isTokenText,
  type OidcClient,
  type StoredCredential
} from './stored-credential.ts'

const BUILDER_ID_START_URL = 'https://view.awsapps.com/start'

export interface ParsedSignIn {
  readonly stored: StoredCredential
  readonly oddities: readonly string[]
}

export type Registration = OidcClient | { readonly problem: string } | null

/**
 * Reads a sign-in of any program (kiro-protocol §3.2 to §3.4), in camelCase or snake_case.
 * @throws {Error} whose message completes the sentence "the file …".
 */
export function parseSignIn(
  raw: JsonObject,
  registration: Registration,
  fallbackRegion: string
): ParsedSignIn {
  const file = inCamelCase(raw)
  const oddities: string[] = []
  const accessToken = tokenOf(file, 'accessToken')
  const refreshToken = tokenOf(file, 'refreshToken')
  if (accessToken === null && refreshToken === null) {
    throw new Error('has neither "accessToken" nor "refreshToken".')
  }
  const authType = authTypeOf(file, accessToken, registration)
  const arn = textMember(file, 'profileArn')
  if (arn !== null && !isProfileArn(arn)) oddities.push('profileArn is malformed and ignored')
  const expiresAt = parseExpiry(file['expiresAt'])
  if (expiresAt === null && authType !== 'api-key')
    oddities.push('expiresAt is missing or unreadable')
  // Builder ID's shared ARN depends on the host, so a stored one must not be sent.
  const profileArn = arn !== null && isProfileArn(arn) && authType !== 'builder-id' ? arn : null
  const isKey = authType === 'api-key'
  const idp = authType === 'external-idp' ? idpClientOf(file) : null
  const stored: StoredCredential = {
    authType,
    accessToken,
    refreshToken: isKey ? null : refreshToken,
    expiresAt: isKey ? null : expiresAt,
    profileArn,
    ssoRegion: regionOf(file, 'region') ?? fallbackRegion,
    apiRegion: regionOf(file, 'apiRegion'),
    client: registration !== null && 'clientId' in registration ? registration : null,
    ...(idp !== null && { idp }),
    renewalProblem: renewalProblemOf({ authType, registration, refreshToken, idp })
  }
  return { stored, oddities }
}

/** Returns a function that logs the problems of a source whenever they change. */
export function problemTeller(source: string, message: string, log: Pick<Logger, 'warn'>) {
  let told = ''
  return (problems: readonly string[]): void => {
    const text = problems.join('; ')
    if (text !== '' && text !== told) log.warn({ source, problems }, message)
    told = text
  }
}

export function inlineClient(raw: JsonObject): OidcClient | null {
  const file = inCamelCase(raw)
  const clientId = textMember(file, 'clientId')
  const clientSecret = textMember(file, 'clientSecret')
  if (clientId === null || clientSecret === null) return null
  // In a companion file, which holds no token, "expiresAt" is the registration's own.
  const own = file['accessToken'] === undefined ? file['expiresAt'] : undefined
  const expiresAt = parseExpiry(file['clientSecretExpiresAt'] ?? own)
  return { clientId, clientSecret, ...(expiresAt !== null && { expiresAt }) }
}

const SNAKE_NAMES: readonly (readonly [camel: string, snake: string])[] = [
  'accessToken',
  'refreshToken',
  'expiresAt',
  'profileArn',
  'authMethod',
  'startUrl',
  'clientId',
  'clientSecret',
  'clientSecretExpiresAt',
  'tokenEndpoint',
  'issuerUrl'
].map((name) => [name, name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] as const)

function inCamelCase(file: JsonObject): JsonObject {
  const renamed = SNAKE_NAMES.filter(([camel, snake]) => {
    return !Object.hasOwn(file, camel) && Object.hasOwn(file, snake)
  }).map(([camel, snake]) => [camel, file[snake]] as const)
  return renamed.length === 0 ? file : { ...file, ...Object.fromEntries(renamed) }
}

function methodOf(file: JsonObject): string {
  return (textMember(file, 'authMethod') ?? '').toLowerCase().replaceAll(/[-_ ]/g, '')
}

const IDP_METHODS: readonly string[] = ['externalidp', 'azuread', 'entra']

function authTypeOf(
  file: JsonObject,
  accessToken: string | null,
  registration: Registration
): AuthType {
  const method = methodOf(file)
  if (accessToken?.startsWith('ksk_') === true) return 'api-key'
  if (method === 'apikey')
    throw new Error('claims to hold an API key, but "accessToken" is not one.')
  // Must precede the next rule: this sign-in also has a "clientId", but no secret.
  const hasEndpoint = textMember(file, 'tokenEndpoint') !== null
  if (IDP_METHODS.includes(method) || hasEndpoint) return 'external-idp'
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

function idpClientOf(file: JsonObject): IdpClient | null {
  const tokenEndpoint = textMember(file, 'tokenEndpoint')
  const clientId = textMember(file, 'clientId')
  if (tokenEndpoint === null || clientId === null) return null
  const scopes = getOwn(file, 'scopes')
  const list = Array.isArray(scopes) ? scopes.filter((scope) => typeof scope === 'string') : []
  return {
    tokenEndpoint,
    clientId,
    issuerUrl: textMember(file, 'issuerUrl'),
    scopes: textMember(file, 'scopes') ?? (list.length > 0 ? list.join(' ') : null)
  }
}

interface Renewability {
  readonly authType: AuthType
  readonly registration: Registration
  readonly refreshToken: string | null
  readonly idp: IdpClient | null
}

function renewalProblemOf({
  authType,
  registration,
  refreshToken,
  idp
}: Renewability): string | null {
  if (authType === 'api-key') return 'an API key cannot be renewed'
  if (authType === 'external-idp') {
    if (refreshToken === null) {
      return 'the identity provider issued no refresh token (the scope "offline_access" requests one)'
    }
    return idp === null
      ? 'the file lacks the "tokenEndpoint" and "clientId" that renewal needs'
      : null
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
    throw new Error(`has a "${name}" that is not an AWS region.`)
  }
  return region
}

import { type JsonObject, parseJsonObject, textMember } from '../kiro/json-object.ts'
import { checkProfile, type Credential } from './credential-rules.ts'
import { listModels } from './models.ts'
import { FAULTS, forbidden, improper, type Refusal } from './refusal.ts'
import type { TokenIssuer } from './token-issuer.ts'
import { faultOfSearch, searchWeb } from './web-search.ts'

/** A small JSON answer. */
export interface JsonAnswer {
  readonly status: number
  readonly json: JsonObject
}

/** The profile of every account here. */
export const PROFILE_ARN = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/SIMULATED'

const USAGE_LIMIT = 1_000

/** Desktop refresh (kiro-protocol §3.5): a used refresh token is 401. */
export function refreshDesktop(body: string, issuer: TokenIssuer): JsonAnswer {
  const refreshToken = textMember(parseJsonObject(body) ?? {}, 'refreshToken')
  if (refreshToken === null) return { status: 400, json: { message: 'refreshToken is required' } }
  const tokens = issuer.exchange(refreshToken)
  if (tokens === null) return { status: 401, json: { message: 'Bad credentials' } }
  return { status: 200, json: { ...tokens, profileArn: PROFILE_ARN } }
}

/** OIDC token endpoint (§3.6): camelCase JSON, a used refresh token is `invalid_grant`. */
export function createToken(body: string, issuer: TokenIssuer): JsonAnswer {
  const request = parseJsonObject(body) ?? {}
  const { grantType } = request
  const refreshToken = textMember(request, 'refreshToken')
  const hasClient = textMember(request, 'clientId') && textMember(request, 'clientSecret')
  if (grantType !== 'refresh_token' || !hasClient || refreshToken === null) {
    const needed = 'grantType refresh_token, clientId, clientSecret and refreshToken are required'
    return oidcError('invalid_request', needed)
  }
  const tokens = issuer.exchange(refreshToken)
  if (tokens === null) return oidcError('invalid_grant', 'Invalid refresh token provided')
  return { status: 200, json: { ...tokens, tokenType: 'Bearer' } }
}

/** Models (§7.4), page by page when `maxResults` is given in the query or in the body. */
export function listAvailableModels(query: URLSearchParams, body: string): JsonAnswer {
  const request = parseJsonObject(body) ?? {}
  const maxResults = Number(query.get('maxResults') ?? request['maxResults'] ?? 0)
  const nextToken = query.get('nextToken') ?? textMember(request, 'nextToken')
  const json = listModels({
    ...(maxResults >= 1 ? { maxResults: Math.floor(maxResults) } : {}),
    ...(nextToken === null ? {} : { nextToken })
  })
  return { status: 200, json }
}

/** Profiles (§1.3, E4): API keys have none to list. */
export function listAvailableProfiles(credential: Credential): JsonAnswer | Refusal {
  if (credential.token.startsWith('ksk_')) return forbidden('Unsupported token type')
  const profile = { arn: PROFILE_ARN, profileName: 'simulated', status: 'ACTIVE' }
  return { status: 200, json: { profiles: [profile] } }
}

/** Usage limits (§9.8). Asked with `quota-token`, everything is used up. */
export function getUsageLimits(token: string, nowMs: number): JsonAnswer {
  const used = token === 'quota-token' ? USAGE_LIMIT : 42.5
  const now = new Date(nowMs)
  const resetMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)
  const breakdown = {
    resourceType: 'CREDIT',
    displayName: 'Credits',
    unit: 'CREDITS',
    currency: 'USD',
    currentUsage: Math.floor(used),
    currentUsageWithPrecision: used,
    usageLimit: USAGE_LIMIT,
    usageLimitWithPrecision: USAGE_LIMIT,
    currentOverages: 0,
    currentOveragesWithPrecision: 0,
    overageCharges: 0,
    overageRate: 0.04
  }
  const json = {
    nextDateReset: resetMs / 1000,
    daysUntilReset: Math.ceil((resetMs - nowMs) / 86_400_000),
    limits: [],
    usageBreakdownList: [breakdown],
    subscriptionInfo: { type: 'Q_DEVELOPER_STANDALONE_PRO', subscriptionTitle: 'KIRO SIMULATOR' },
    overageConfiguration: { overageStatus: 'DISABLED' },
    userInfo: { userId: 'd-simulated', email: 'simulator@example.com' }
  }
  return { status: 200, json }
}

/** Web search over JSON-RPC (§9.4); `null` for one that is never answered. Wants a profile like a generation. */
export function callMcp(body: string, credential: Credential): JsonAnswer | Refusal | null {
  const refusal = checkProfile(credential)
  if (refusal !== null) return refusal
  const request = parseJsonObject(body)
  if (request === null) return improper('request-shape', 'the body must be a JSON-RPC request')
  const fault = faultOfSearch(request)
  if (fault === 'stall') return null
  return fault === 'refused' ? FAULTS.overloaded : { status: 200, json: searchWeb(request) }
}

function oidcError(error: string, description: string): JsonAnswer {
  return { status: 400, json: { error, error_description: description } }
}

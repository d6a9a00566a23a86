import { type JsonObject, parseJsonObject, textMember } from '../shared/json.ts'
import { SimulatedAccount } from './account.ts'
import { listModels } from './models.ts'
import { FAULTS, forbidden, improper, invalidBody, type Refusal } from './refusal.ts'
import { faultOfSearch, searchWeb } from './web-search.ts'

export interface JsonAnswer {
  readonly status: number
  readonly json: JsonObject
}

export const PROFILE_ARN = 'arn:aws:codewhisperer:us-east-1:123456789012:profile/SIMULATED'

/** Models (§7.4), in pages if `maxResults` is given in query or body. */
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

/** Profiles (§1.3, E4): API keys have none. */
export function listAvailableProfiles(credential: Credential): JsonAnswer | Refusal {
  if (credential.token.startsWith('ksk_')) return forbidden('Unsupported token type')
  const profile = { arn: PROFILE_ARN, profileName: 'simulated', status: 'ACTIVE' }
  return { status: 200, json: { profiles: [profile] } }
}

/** Usage limits (§9.8). For `quota-token` everything is used up. */
export function getUsageLimits(
  { token, account }: { readonly token: string; readonly account: SimulatedAccount },
  nowMs: number
): JsonAnswer {
  const { limit, isOverageEnabled } = account.figures
  const asked = token === 'quota-token' ? new SimulatedAccount({ limit, used: limit }) : account
  const now = new Date(nowMs)
  const resetMs = Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1)
  const json = {
    nextDateReset: resetMs / 1000,
    daysUntilReset: Math.ceil((resetMs - nowMs) / 86_400_000),
    limits: [],
    usageBreakdownList: [asked.toBreakdown()],
    subscriptionInfo: { type: 'Q_DEVELOPER_STANDALONE_PRO', subscriptionTitle: 'KIRO SIMULATOR' },
    overageConfiguration: { overageStatus: isOverageEnabled ? 'ENABLED' : 'DISABLED' },
    userInfo: { userId: 'd-simulated', email: 'simulator@example.com' }
  }
  return { status: 200, json }
}

/** Web search over JSON-RPC (§9.4); `null` if it is never answered. Requires a profile like a generation. */
export function callMcp(body: string, credential: Credential): JsonAnswer | Refusal | null {
  const request = parseJsonObject(body)
  if (request === null) return improper('request-shape', 'the body must be a JSON-RPC request')
  const { profileArn = credential.profileArn } = request
  const refusal = checkProfile({
    ...credential,
    profileArn: typeof profileArn === 'string' ? profileArn : undefined
  })
  if (refusal !== null) return refusal
  const fault = faultOfSearch(request)
  if (fault === 'stall') return null
  return fault === 'refused' ? FAULTS.overloaded : { status: 200, json: searchWeb(request) }
}

export interface Credential {
  readonly token: string
  readonly tokenType: string | undefined
  readonly profileArn: string | undefined
}

const PROFILE_ARN_FORM = /^arn:aws:codewhisperer:[a-z0-9-]+:(\d{12}):profile\/[A-Za-z0-9._-]+$/
const FAKE_ACCOUNT = '000000000000'

const SPECIAL_TOKENS: Readonly<Record<string, Refusal>> = {
  'expired-token': FAULTS.expired,
  'suspended-token': FAULTS.suspended,
  'quota-token': FAULTS.quota,
  'suspicious-token': FAULTS.suspicious,
  'not-admitted-token': FAULTS['not-admitted']
}

export function checkToken(credential: Credential): Refusal | null {
  const { token } = credential
  if (token === '') return forbidden('Missing Authentication Token')
  return Object.hasOwn(SPECIAL_TOKENS, token) ? (SPECIAL_TOKENS[token] ?? null) : null
}

/** Checks the profile that a generation needs, or must not have (kiro-protocol §2.3, §3.9). */
export function checkProfile(credential: Credential): Refusal | null {
  const { token, tokenType, profileArn } = credential
  if (token.startsWith('ksk_') && tokenType === 'API_KEY') {
    return profileArn === undefined ? null : forbidden('User is not authorized to make this call.')
  }
  if (profileArn === undefined) {
    const violation = 'only API keys sent with TokenType: API_KEY need no profileArn'
    return improper('profile-arn', violation, 'profileArn is required for this request.')
  }
  const account = PROFILE_ARN_FORM.exec(profileArn)?.[1]
  if (account !== undefined && account !== FAKE_ACCOUNT) return null
  return invalidBody('profile-arn', 'profileArn is not one of a real profile')
}

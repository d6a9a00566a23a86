import { badRequest, FAULTS, forbidden, invalidBody, type Refusal } from './refusal.ts'

/** What a request says about who sends it. */
export interface Credential {
  /** The bearer token, empty when there is none. */
  readonly token: string
  /** Header `TokenType`. */
  readonly tokenType: string | undefined
  /** Of the body, else of the header. */
  readonly profileArn: string | undefined
}

const PROFILE_ARN = /^arn:aws:codewhisperer:[a-z0-9-]+:(\d{12}):profile\/[A-Za-z0-9._-]+$/
const FAKE_ACCOUNT = '000000000000'

/** Tokens that always meet the same end. Every other token is good. */
const SPECIAL_TOKENS: Readonly<Record<string, Refusal>> = {
  'expired-token': FAULTS.expired,
  'suspended-token': FAULTS.suspended,
  'quota-token': FAULTS.quota
}

/** Whether somebody may call at all, whatever they ask for. */
export function checkToken(credential: Credential): Refusal | null {
  const { token } = credential
  if (token === '') return forbidden('Missing Authentication Token')
  return Object.hasOwn(SPECIAL_TOKENS, token) ? (SPECIAL_TOKENS[token] ?? null) : null
}

/** The profile a generation needs, or must not have (kiro-protocol §2.3, §3.9). */
export function checkProfile(credential: Credential): Refusal | null {
  const { token, tokenType, profileArn } = credential
  if (token.startsWith('ksk_') && tokenType === 'API_KEY') {
    return profileArn === undefined ? null : forbidden('User is not authorized to make this call.')
  }
  if (profileArn === undefined) {
    const violation = 'only API keys sent with TokenType: API_KEY need no profileArn'
    const refusal = badRequest('profileArn is required for this request.', null)
    return { ...refusal, rule: 'profile-arn', violation }
  }
  const account = PROFILE_ARN.exec(profileArn)?.[1]
  if (account !== undefined && account !== FAKE_ACCOUNT) return null
  return invalidBody('profile-arn', 'profileArn is not one of a real profile')
}

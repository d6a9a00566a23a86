import type { IncomingMessage } from 'node:http'
import { asJsonObject } from '../../src/shared/json.ts'
import { EXPIRED, FAULTS, forbidden } from '../../src/simulator/refusal.ts'
import { improper, invalidBody, ODD_FAULTS, type StrictRefusal } from './refusals.ts'

export interface Credential {
  readonly token: string
  readonly tokenType: string | undefined
  readonly profileArn: string | undefined
}

export function credentialOf({ headers }: IncomingMessage): Credential {
  const [, token = ''] = /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? '') ?? []
  return {
    token,
    tokenType: headerOf(headers['tokentype']),
    profileArn: headerOf(headers['x-amzn-kiro-profile-arn'])
  }
}

function headerOf(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' ? value : undefined
}

/** The body's `profileArn` precedes the header's. */
export function withBodyProfile(credential: Credential, payload: unknown): Credential {
  const root = asJsonObject(payload) ?? {}
  return 'profileArn' in root
    ? { ...credential, profileArn: String(root['profileArn']) }
    : credential
}

const PROFILE_ARN_FORM = /^arn:aws:codewhisperer:[a-z0-9-]+:(\d{12}):profile\/[A-Za-z0-9._-]+$/
const FAKE_ACCOUNT = '000000000000'

const SPECIAL_TOKENS: Readonly<Record<string, StrictRefusal>> = {
  'expired-token': EXPIRED,
  'suspended-token': FAULTS.suspended,
  'quota-token': FAULTS.quota,
  'suspicious-token': ODD_FAULTS.suspicious,
  'not-admitted-token': ODD_FAULTS['not-admitted']
}

export function checkToken({ token }: Credential): StrictRefusal | null {
  if (token === '') return forbidden('Missing Authentication Token')
  return Object.hasOwn(SPECIAL_TOKENS, token) ? (SPECIAL_TOKENS[token] ?? null) : null
}

/** Checks the profile that a generation needs, or must not have (kiro-protocol §2.3, §3.9). */
export function checkProfile(credential: Credential): StrictRefusal | null {
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

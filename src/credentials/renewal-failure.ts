import { normalizeType, parseFaultBody, parseRetryAfter, redactText } from '../kiro/wire/fault.ts'
import { GatewayError } from '../shared/errors.ts'
import { textMember } from '../shared/json.ts'
import { jsonObjectOf, type JsonResponse } from '../upstream/call/json-exchange.ts'
import type { StoredCredential } from './stored-credential.ts'

export interface RefusalContext {
  readonly sent: StoredCredential
  readonly loginHint: string
  readonly now: number
}

/**
 * Interprets a token service's refusal (kiro-protocol §3.13), repeating nothing that was sent. GW_UPSTREAM_AUTH,
 * GW_REGISTRATION_EXPIRED or GW_UPSTREAM_SUSPENDED mean a dead sign-in, others a temporary failure.
 */
export function renewalFailure(response: JsonResponse, context: RefusalContext): GatewayError {
  const { sent, loginHint, now } = context
  const { status, headers, text } = response
  const secrets = secretsOf(sent)
  const body = parseFaultBody(headers, text)
  const named = textMember(jsonObjectOf(response) ?? {}, 'error') ?? body.type ?? ''
  const name = redactText(named, 100, secrets)
  const said = redactText(body.message ?? '', 300, secrets)
  const detail = `token service: status ${status} ${name} ${said}`.trim()
  if (status === 423 || /temporarily (?:is )?suspended/i.test(said)) {
    return new GatewayError('GW_UPSTREAM_SUSPENDED', detail)
  }
  const type = normalizeType(name).replaceAll(/[_ ]/g, '')
  if (isDead(status, { type, said, isPage: body.form === 'html' })) {
    const endedAt = type === 'invalidclient' ? (sent.client?.expiresAt ?? null) : null
    if (endedAt !== null && endedAt <= now) return registrationExpired(endedAt, loginHint)
    const problem = [`HTTP ${status}`, name, said].filter((part) => part !== '').join(', ')
    return deadSignIn(problem, loginHint)
  }
  const isTooFast = status === 429 || type === 'slowdown' || type === 'throttling'
  const retryAfterS = parseRetryAfter(headers['retry-after'] ?? null, now)
  return new GatewayError(isTooFast ? 'GW_UPSTREAM_RATE_LIMITED' : 'GW_UPSTREAM_STATUS', detail, {
    message: `The token service answered HTTP ${status}${name === '' ? '' : ` (${name})`}${hintOf(status)}.`,
    ...(retryAfterS === null ? {} : { retryAfterS })
  })
}

export function deadSignIn(problem: string, loginHint: string): GatewayError {
  return new GatewayError('GW_UPSTREAM_AUTH', undefined, {
    message: `The Kiro sign-in of this gateway is no longer valid (${problem}). ${loginHint}`
  })
}

export function isFinalRefusal({ code }: GatewayError): boolean {
  return FINAL.has(code)
}

const FINAL: ReadonlySet<string> = new Set([
  'GW_LOGIN_PENDING',
  'GW_UPSTREAM_AUTH',
  'GW_UPSTREAM_SUSPENDED',
  'GW_REGISTRATION_EXPIRED',
  'GW_IDP_NOT_ALLOWED'
])

const DEAD_TYPES: ReadonlySet<string> = new Set([
  'invalidgrant',
  'invalidclient',
  'expiredtoken',
  'invalidtoken',
  'accessdenied',
  'unauthorizedclient'
])

/** Counts 400, 403 and 404 only if the answer names the sign-in: firewalls and wrong hosts send them, too. */
function isDead(
  status: number,
  { type, said, isPage }: { type: string; said: string; isPage: boolean }
): boolean {
  if (status === 401) return !isPage
  if (status !== 400 && status !== 403) return false
  if (DEAD_TYPES.has(type)) return true
  return status === 400 && type === 'invalidrequest' && /refresh.?token|\bgrant\b/i.test(said)
}

function registrationExpired(endedAt: number, loginHint: string): GatewayError {
  const day = new Date(endedAt).toISOString().slice(0, 10)
  return new GatewayError('GW_REGISTRATION_EXPIRED', undefined, {
    message: `The client registration of this gateway's Kiro sign-in expired on ${day}; your password is still valid. ${loginHint}`
  })
}

function hintOf(status: number): string {
  if (status === 401 || status === 403) return ': a CDN or firewall may block this machine'
  return status === 404 || status === 405
    ? ': check KIRO_AUTH_URL, KIRO_OIDC_URL and KIRO_REGION'
    : ''
}

function secretsOf({ accessToken, refreshToken, client }: StoredCredential): readonly string[] {
  const secrets = [accessToken, refreshToken, client?.clientId, client?.clientSecret]
  return secrets.filter((secret) => typeof secret === 'string')
}

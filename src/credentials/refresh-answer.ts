import { parseRetryAfter } from '../kiro/fault.ts'
import { normalizeType, parseFaultBody } from '../kiro/fault-body.ts'
import { type JsonObject, textMember } from '../kiro/json-object.ts'
import { redactText } from '../kiro/redact.ts'
import { isProfileArn } from '../kiro/regions.ts'
import { type ErrorCode, GatewayError } from '../shared/errors.ts'
import { type JsonResponse, jsonObjectOf } from '../upstream/json-call.ts'
import { isTokenText } from './stored-credential.ts'

/** A token service that takes longer than this is down. */
export const REFRESH_TIMEOUT_MS = 15_000
const DEFAULT_LIFE_S = 3600
const MAX_LIFE_S = 30 * 86_400

/** What a token service gives. */
export interface RenewedTokens {
  readonly accessToken: string
  /** Replaces the old one; `null` keeps it. */
  readonly refreshToken: string | null
  readonly expiresInS: number
  readonly profileArn: string | null
}

export interface AnswerContext {
  /** What was sent; never repeated in errors. */
  readonly secrets: readonly string[]
  /** What the operator has to do when the sign-in is dead. */
  readonly loginHint: string
  /** Epoch ms. */
  readonly now: number
}

/**
 * Reads the answer of either token service.
 *
 * @throws {GatewayError} GW_UPSTREAM_AUTH or GW_UPSTREAM_SUSPENDED if asking again is useless,
 *   GW_UPSTREAM_RATE_LIMITED or GW_UPSTREAM_STATUS otherwise.
 */
export function readRefreshAnswer(response: JsonResponse, context: AnswerContext): RenewedTokens {
  if (response.status !== 200) throw refreshFailure(response, context)
  const answer = jsonObjectOf(response) ?? {}
  const accessToken = textMember(answer, 'accessToken')
  if (accessToken === null || !isTokenText(accessToken)) {
    throw new GatewayError('GW_UPSTREAM_STATUS', undefined, {
      message: 'The token service answered without an access token.'
    })
  }
  const refreshToken = textMember(answer, 'refreshToken')
  const profileArn = textMember(answer, 'profileArn')
  return {
    accessToken,
    refreshToken: refreshToken !== null && isTokenText(refreshToken) ? refreshToken : null,
    expiresInS: lifeOf(answer),
    profileArn: profileArn !== null && isProfileArn(profileArn) ? profileArn : null
  }
}

/** Asking again with the same refresh token is useless: somebody has to sign in. */
export function isFinalRefusal(error: GatewayError): boolean {
  return error.code === 'GW_UPSTREAM_AUTH' || error.code === 'GW_UPSTREAM_SUSPENDED'
}

/** The sign-in is dead; says why and what to do. */
export function deadSignIn(problem: string, loginHint: string): GatewayError {
  return new GatewayError('GW_UPSTREAM_AUTH', undefined, {
    message: `The Kiro sign-in of this gateway is no longer valid (${problem}). ${loginHint}`
  })
}

function lifeOf(answer: JsonObject): number {
  const seconds = Number(answer['expiresIn'])
  return seconds > 0 ? Math.min(seconds, MAX_LIFE_S) : DEFAULT_LIFE_S
}

function refreshFailure(response: JsonResponse, context: AnswerContext): GatewayError {
  const { status, headers, text } = response
  const { secrets, loginHint, now } = context
  const body = parseFaultBody(headers, text)
  const oauthError = textMember(jsonObjectOf(response) ?? {}, 'error')
  const name = redactText(oauthError ?? body.type ?? '', 100, secrets)
  const said = redactText(body.message ?? '', 300, secrets)
  const detail = `token service: status ${status} ${name} ${said}`.trim()
  if (status === 423 || /temporarily (?:is )?suspended/i.test(said)) {
    return new GatewayError('GW_UPSTREAM_SUSPENDED', detail)
  }
  const code = codeOf(status, name)
  if (code === 'GW_UPSTREAM_AUTH') {
    const problem = [`HTTP ${status}`, name, said].filter((part) => part !== '').join(', ')
    return deadSignIn(problem, loginHint)
  }
  const retryAfterS = parseRetryAfter(headers['retry-after'] ?? null, now)
  return new GatewayError(code, detail, {
    message: `The token service answered HTTP ${status}${name === '' ? '' : ` (${name})`}${hintOf(status)}.`,
    ...(retryAfterS === null ? {} : { retryAfterS })
  })
}

/** A 403 mostly comes from a firewall before the service, a 404 from a wrong host: neither says anything of the sign-in. */
function codeOf(status: number, name: string): ErrorCode {
  const type = normalizeType(name).replaceAll('_', '')
  if (status === 429 || type === 'slowdown' || type === 'throttling') {
    return 'GW_UPSTREAM_RATE_LIMITED'
  }
  const isClientFault = status >= 400 && status < 500 && ![403, 404, 405, 408].includes(status)
  return isClientFault ? 'GW_UPSTREAM_AUTH' : 'GW_UPSTREAM_STATUS'
}

function hintOf(status: number): string {
  if (status === 403) return ': a CDN or firewall may block this machine'
  return status === 404 || status === 405
    ? ': check KIRO_AUTH_URL, KIRO_OIDC_URL and KIRO_REGION'
    : ''
}

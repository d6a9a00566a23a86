import { normalizeType, parseFaultBody, parseRetryAfter, redactText } from '../kiro/wire/fault.ts'
import {
  desktopRefreshUrl,
  type HostOverrides,
  isProfileArn,
  oidcTokenUrl
} from '../kiro/wire/hosts.ts'
import { type ErrorCode, GatewayError } from '../shared/errors.ts'
import { type JsonObject, textMember } from '../shared/json.ts'
import {
  type JsonCall,
  jsonObjectOf,
  type JsonRequest,
  type JsonResponse
} from '../upstream/call/json-exchange.ts'
import { classifyFailure } from '../upstream/classify.ts'
import type { Clock } from './clock.ts'
import { isTokenText, type OidcClient, type StoredCredential } from './sources.ts'

export interface RenewOptions {
  readonly call: JsonCall
  readonly clock: Clock
  readonly hosts: HostOverrides
  readonly userAgent: string
  readonly loginHint: string
  /** Aborts when nothing new is to be sent. */
  readonly leaving: AbortSignal
}

const ATTEMPTS = 3
const FIRST_DELAY_MS = 1000
const MAX_DELAY_MS = 10_000

/**
 * Trades the refresh token for new tokens; tries three times where the failure may pass. Remembers nothing. Once we are
 * `leaving`, it only waits for an answer to what was sent: the token in it is used up.
 *
 * @throws {GatewayError} as `readRefreshAnswer` and `classifyFailure` say; the last failure counts.
 */
export async function renewTokens(
  stored: StoredCredential,
  options: RenewOptions
): Promise<RenewedTokens> {
  const { clock, leaving } = options
  const request = { ...requestFor(stored, options), unlessSent: leaving }
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptRenewal(request, stored, options)
    } catch (cause) {
      const error = toRefreshError(cause, stored, request)
      if (attempt >= ATTEMPTS || isFinalRefusal(error) || leaving.aborted) throw error
      const askedMs = (error.retryAfterS ?? 0) * 1000
      if (askedMs > MAX_DELAY_MS) throw error // not while requests wait for it
      const delayMs = Math.max(FIRST_DELAY_MS * 2 ** (attempt - 1), askedMs)
      await clock.sleep(delayMs, leaving).catch(() => {
        throw error
      })
    }
  }
}

async function attemptRenewal(
  request: JsonRequest,
  stored: StoredCredential,
  options: RenewOptions
): Promise<RenewedTokens> {
  const { signal } = new AbortController() // never given up once it was sent
  const response = await options.call(request, signal)
  const { accessToken, refreshToken, client } = stored
  const secrets = [accessToken, refreshToken, client?.clientId, client?.clientSecret]
  const context: AnswerContext = {
    secrets: secrets.filter((secret) => typeof secret === 'string'),
    loginHint: options.loginHint,
    now: options.clock.now()
  }
  return readRefreshAnswer(response, context)
}

function requestFor(stored: StoredCredential, options: RenewOptions): JsonRequest {
  const { authType, refreshToken, client, renewalProblem, ssoRegion } = stored
  const { hosts, userAgent, loginHint } = options
  if (renewalProblem !== null) throw deadSignIn(renewalProblem, loginHint)
  if (refreshToken === null) throw deadSignIn('there is no refresh token', loginHint)
  if (authType === 'social') {
    return desktopRefreshRequest({ refreshToken, ssoRegion, hosts, userAgent })
  }
  if (client === null) throw deadSignIn('there is no client registration', loginHint)
  return oidcRefreshRequest({ refreshToken, client, ssoRegion, hosts, userAgent })
}

function toRefreshError(
  cause: unknown,
  { authType }: StoredCredential,
  { url }: JsonRequest
): GatewayError {
  if (cause instanceof GatewayError) return cause
  const setting = authType === 'social' ? 'KIRO_AUTH_URL' : 'KIRO_OIDC_URL'
  return classifyFailure(cause, { url, phase: 'headers', setting })
}

export interface DesktopRefreshOptions {
  readonly refreshToken: string
  readonly ssoRegion: string
  readonly hosts: HostOverrides
  readonly userAgent: string
}

/** Renews a sign-in with GitHub or Google through the Kiro desktop service (kiro-protocol §3.5). */
export function desktopRefreshRequest(options: DesktopRefreshOptions): JsonRequest {
  const { refreshToken, ssoRegion, hosts, userAgent } = options
  return {
    method: 'POST',
    url: desktopRefreshUrl(ssoRegion, hosts),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': userAgent
    },
    body: JSON.stringify({ refreshToken }),
    setting: 'KIRO_AUTH_URL',
    timeoutMs: REFRESH_TIMEOUT_MS
  }
}

export interface OidcRefreshOptions {
  readonly refreshToken: string
  readonly client: OidcClient
  readonly ssoRegion: string
  readonly hosts: HostOverrides
  readonly userAgent: string
}

/** Renews a sign-in with Builder ID or IAM Identity Center (kiro-protocol §3.6): JSON, and camel case. */
export function oidcRefreshRequest(options: OidcRefreshOptions): JsonRequest {
  const { refreshToken, client, ssoRegion, hosts, userAgent } = options
  const { clientId, clientSecret } = client
  return {
    method: 'POST',
    url: oidcTokenUrl(ssoRegion, hosts),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': userAgent
    },
    body: JSON.stringify({ grantType: 'refresh_token', clientId, clientSecret, refreshToken }),
    setting: 'KIRO_OIDC_URL',
    timeoutMs: REFRESH_TIMEOUT_MS
  }
}

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

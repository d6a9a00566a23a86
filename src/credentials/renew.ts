import { setTimeout as sleep } from 'node:timers/promises'
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
import { isTokenText, type StoredCredential } from './stored-credential.ts'

export interface RenewOptions {
  readonly call: JsonCall
  readonly clock: WallClock
  readonly upstream: HostOverrides & { readonly userAgent: string }
  /** What the operator has to do when the sign-in is dead. */
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
  const { call, clock, leaving } = options
  const request = { ...requestFor(stored, options), unlessSent: leaving }
  const { signal } = new AbortController() // never given up once it was sent
  for (let attempt = 1; ; attempt += 1) {
    try {
      const response = await call(request, signal)
      return readRefreshAnswer(response, stored, options)
    } catch (cause) {
      const { url, setting } = request
      const error = classifyFailure(cause, { url, setting, phase: 'sent' })
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

function secretsOf({ accessToken, refreshToken, client }: StoredCredential): readonly string[] {
  const secrets = [accessToken, refreshToken, client?.clientId, client?.clientSecret]
  return secrets.filter((secret) => typeof secret === 'string')
}

/**
 * What asks for new tokens: the Kiro desktop service for sign-ins with GitHub or Google (kiro-protocol §3.5), AWS SSO for
 * Builder ID and IAM Identity Center (§3.6), which wants JSON in camel case, too.
 */
function requestFor(stored: StoredCredential, options: RenewOptions): JsonRequest {
  const { authType, refreshToken, client, renewalProblem, ssoRegion } = stored
  const { upstream, loginHint } = options
  if (renewalProblem !== null) throw deadSignIn(renewalProblem, loginHint)
  if (refreshToken === null) throw deadSignIn('there is no refresh token', loginHint)
  const isSocial = authType === 'social'
  if (!isSocial && client === null) {
    throw deadSignIn('there is no client registration', loginHint)
  }
  const grant = { grantType: 'refresh_token', ...client, refreshToken }
  return {
    method: 'POST',
    url: isSocial ? desktopRefreshUrl(ssoRegion, upstream) : oidcTokenUrl(ssoRegion, upstream),
    headers: {
      'content-type': 'application/json',
      accept: 'application/json',
      'user-agent': upstream.userAgent
    },
    body: JSON.stringify(isSocial ? { refreshToken } : grant),
    setting: isSocial ? 'KIRO_AUTH_URL' : 'KIRO_OIDC_URL',
    timeoutMs: REFRESH_TIMEOUT_MS
  }
}

/** A token service that takes longer than this is down. */
const REFRESH_TIMEOUT_MS = 15_000
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

/**
 * Reads the answer of either token service. What was sent is never repeated in errors.
 *
 * @throws {GatewayError} GW_UPSTREAM_AUTH or GW_UPSTREAM_SUSPENDED if asking again is useless,
 *   GW_UPSTREAM_RATE_LIMITED or GW_UPSTREAM_STATUS otherwise.
 */
function readRefreshAnswer(
  response: JsonResponse,
  sent: StoredCredential,
  options: RenewOptions
): RenewedTokens {
  if (response.status !== 200) throw refreshFailure(response, secretsOf(sent), options)
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

/** Asking again with the same refresh token is useless: only a new sign-in helps. */
export function isFinalRefusal(error: GatewayError): boolean {
  return error.code === 'GW_UPSTREAM_AUTH' || error.code === 'GW_UPSTREAM_SUSPENDED'
}

/** The sign-in is dead; says why and what to do. */
function deadSignIn(problem: string, loginHint: string): GatewayError {
  return new GatewayError('GW_UPSTREAM_AUTH', undefined, {
    message: `The Kiro sign-in of this gateway is no longer valid (${problem}). ${loginHint}`
  })
}

function lifeOf(answer: JsonObject): number {
  const seconds = Number(answer['expiresIn'])
  return seconds > 0 ? Math.min(seconds, MAX_LIFE_S) : DEFAULT_LIFE_S
}

function refreshFailure(
  response: JsonResponse,
  secrets: readonly string[],
  { loginHint, clock }: RenewOptions
): GatewayError {
  const { status, headers, text } = response
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
  const retryAfterS = parseRetryAfter(headers['retry-after'] ?? null, clock.now())
  return new GatewayError(code, detail, {
    message: `The token service answered HTTP ${status}${name === '' ? '' : ` (${name})`}${hintOf(status)}.`,
    ...(retryAfterS === null ? {} : { retryAfterS })
  })
}

/**
 * A 403 mostly comes from a firewall before the service, a 404 from a wrong host: neither says anything of the sign-in.
 */
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

/** Time as the refresher sees it; tests bring their own. */
export interface WallClock {
  /** Epoch ms: expiry times are wall-clock times. */
  now(): number
  /** Runs something later without keeping the process alive; the result calls it off. */
  after(delayMs: number, run: () => void): () => void
  /** Waits, and keeps the process alive meanwhile. Rejects when the signal aborts. */
  sleep(delayMs: number, signal: AbortSignal): Promise<void>
}

export const WALL_CLOCK: WallClock = {
  now: () => Date.now(),
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs).unref()
    return () => clearTimeout(timer)
  },
  sleep: (delayMs, signal) => sleep(delayMs, undefined, { signal })
}

import { setTimeout as sleep } from 'node:timers/promises'
import { desktopUrl, type HostOverrides, isProfileArn, oidcUrl } from '../kiro/wire/hosts.ts'
import { type ErrorCode, GatewayError } from '../shared/errors.ts'
import { type JsonObject, textMember } from '../shared/json.ts'
import {
  type JsonCall,
  jsonObjectOf,
  type JsonRequest,
  type JsonResponse
} from '../upstream/call/json-exchange.ts'
import { classifyFailure } from '../upstream/classify.ts'
import { idpTokenUrl } from './idp-endpoint.ts'
import { deadSignIn, isFinalRefusal, renewalFailure } from './renewal-failure.ts'
import { isTokenText, type StoredCredential } from './stored-credential.ts'

export interface RenewOptions {
  readonly call: JsonCall
  readonly clock: WallClock
  readonly upstream: HostOverrides & { readonly userAgent: string }
  /** Hosts of identity providers, besides the known ones. */
  readonly idpHosts?: readonly string[]
  /** Advice for the operator when the sign-in is dead. */
  readonly loginHint: string
  /** Aborts when nothing new is to be sent. */
  readonly leaving: AbortSignal
  /** Called before each attempt; one that rejects ends the renewal before anything is sent. */
  readonly onAttempt?: () => Promise<void>
  readonly attempts?: number
}

const ATTEMPTS = 3
const FIRST_DELAY_MS = 1000
const MAX_DELAY_MS = 10_000

/**
 * Trades the refresh token for new tokens; tries three times where the failure may pass. Remembers nothing. Once we are
 * `leaving`, it only waits for an answer to what was sent: the token in it is used up.
 *
 * @throws {GatewayError} as `renewalFailure`, `idpTokenUrl` and `classifyFailure` say; the last failure counts.
 */
export async function renewTokens(
  stored: StoredCredential,
  options: RenewOptions
): Promise<RenewedTokens> {
  const { call, clock, leaving, onAttempt, attempts = ATTEMPTS } = options
  const request = { ...requestFor(stored, options), unlessSent: leaving, isOnce: true }
  const { signal } = new AbortController() // never given up once it was sent
  for (let attempt = 1; ; attempt += 1) {
    await onAttempt?.()
    try {
      const response = await call(request, signal)
      return readRefreshAnswer(response, stored, options)
    } catch (cause) {
      const { url, setting } = request
      const error = classifyFailure(cause, { url, setting, phase: 'sent' })
      if (attempt >= attempts || isFinalRefusal(error) || leaving.aborted) throw error
      const askedMs = (error.retryAfterS ?? 0) * 1000
      if (askedMs > MAX_DELAY_MS) throw error // not while requests wait for it
      const delayMs = Math.max(FIRST_DELAY_MS * 2 ** (attempt - 1), askedMs)
      await clock.sleep(delayMs, leaving).catch(() => {
        throw error
      })
    }
  }
}

/** The outcome of presenting a refresh token once. */
export type RenewalOutcome =
  | { readonly type: 'renewed'; readonly tokens: RenewedTokens }
  /** The token service takes this refresh token never again. */
  | { readonly type: 'refused'; readonly error: GatewayError }
  /** Nothing was sent, or it was answered that the token was not taken. */
  | { readonly type: 'unspent'; readonly error: GatewayError }
  /** It was sent, and no answer says what has become of it: the refresh token may be spent. */
  | { readonly type: 'unknown'; readonly error: GatewayError }

/** Trades the refresh token once, for those who must know what has become of it. Never rejects. */
export async function renewOnce(
  stored: StoredCredential,
  options: RenewOptions
): Promise<RenewalOutcome> {
  let isSent = false
  let status: number | null = null
  const call: JsonCall = async (request, signal) => {
    const onSent = (): void => {
      isSent = true
    }
    const response = await options.call({ ...request, onSent }, signal)
    isSent = true
    status = response.status
    return response
  }
  try {
    return { type: 'renewed', tokens: await renewTokens(stored, { ...options, call, attempts: 1 }) }
  } catch (cause) {
    const error = cause instanceof GatewayError ? cause : internal(cause)
    return { type: isSent ? outcomeOf(error, status) : 'unspent', error }
  }
}

/** Judges the failure of a token that was sent; `status` is `null` where no answer was read to its end. */
function outcomeOf(
  { code }: GatewayError,
  status: number | null
): 'refused' | 'unspent' | 'unknown' {
  if (status === null) return 'unknown'
  if (DEAD.has(code)) return 'refused'
  return isTurnedAway(status) || code === 'GW_UPSTREAM_RATE_LIMITED' ? 'unspent' : 'unknown'
}

/** Codes that end a refresh token. It may outlive other refusals, such as a suspension. */
const DEAD: ReadonlySet<ErrorCode> = new Set(['GW_UPSTREAM_AUTH', 'GW_REGISTRATION_EXPIRED'])

/**
 * It was answered that the request is at fault, before anything was done. A service that fails (500) may have done it by
 * then, a proxy says 502, 503, 504 or 520 to 530 where it has lost the answer, 408 and 499 where the request took too long,
 * and an answer without a token says nothing.
 */
function isTurnedAway(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 499
}

function internal(cause: unknown): GatewayError {
  return new GatewayError('GW_INTERNAL', 'renewing the credentials failed', { cause })
}

/**
 * Asks for new tokens: the Kiro desktop service for sign-ins with GitHub or Google (kiro-protocol §3.5), AWS SSO for
 * Builder ID and IAM Identity Center (§3.6), which wants JSON in camel case, too, and an external identity provider for
 * its own (§3.11).
 */
function requestFor(stored: StoredCredential, options: RenewOptions): JsonRequest {
  const { authType, refreshToken, client, renewalProblem } = stored
  const { upstream, loginHint } = options
  if (stored.isAwaited === true) throw new GatewayError('GW_LOGIN_PENDING')
  if (renewalProblem !== null) throw deadSignIn(renewalProblem, loginHint)
  if (refreshToken === null) throw deadSignIn('there is no refresh token', loginHint)
  if (authType === 'external-idp') return idpRequest(stored, refreshToken, options)
  const isSocial = authType === 'social'
  if (!isSocial && client === null) {
    throw deadSignIn('there is no client registration', loginHint)
  }
  const { clientId, clientSecret } = client ?? {}
  const grant = { grantType: 'refresh_token', clientId, clientSecret, refreshToken }
  const { ssoRegion } = stored
  return {
    method: 'POST',
    url: isSocial
      ? desktopUrl(ssoRegion, '/refreshToken', upstream)
      : oidcUrl(ssoRegion, '/token', upstream),
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

function idpRequest(
  { idp }: StoredCredential,
  refreshToken: string,
  { upstream, idpHosts = [], loginHint }: RenewOptions
): JsonRequest {
  if (idp === undefined) throw deadSignIn('it names no token endpoint', loginHint)
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: refreshToken,
    client_id: idp.clientId,
    ...(idp.scopes !== null && { scope: idp.scopes })
  })
  return {
    method: 'POST',
    url: upstream.idpUrl ?? idpTokenUrl(idp, idpHosts),
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      accept: 'application/json',
      'user-agent': upstream.userAgent
    },
    body: form.toString().replaceAll('+', '%20'),
    setting: 'KIRO_IDP_URL',
    timeoutMs: REFRESH_TIMEOUT_MS
  }
}

/** A token service that takes longer than this is down. */
const REFRESH_TIMEOUT_MS = 15_000
const DEFAULT_LIFE_S = 3600
const MAX_LIFE_S = 30 * 86_400

/** Tokens from a token service. */
export interface RenewedTokens {
  readonly accessToken: string
  /** Replaces the old one; `null` keeps it. */
  readonly refreshToken: string | null
  readonly expiresInS: number
  readonly profileArn: string | null
}

/**
 * Reads the answer of any token service; an identity provider's is in snake_case. What was sent is never repeated in errors.
 *
 * @throws {GatewayError} as `renewalFailure` says; GW_UPSTREAM_STATUS for an answer without a token.
 */
function readRefreshAnswer(
  response: JsonResponse,
  sent: StoredCredential,
  { loginHint, clock }: RenewOptions
): RenewedTokens {
  if (response.status !== 200) {
    throw renewalFailure(response, { sent, loginHint, now: clock.now() })
  }
  const names = sent.authType === 'external-idp' ? IDP_NAMES : AWS_NAMES
  const tokens = receivedTokens(jsonObjectOf(response) ?? {}, names)
  if (tokens !== null) return tokens
  throw new GatewayError('GW_UPSTREAM_STATUS', undefined, {
    message: 'The token service answered without an access token.'
  })
}

/** The tokens in an answer, also to a new sign-in; `null` if there are none. */
export function receivedTokens(
  answer: JsonObject,
  names: typeof AWS_NAMES | typeof IDP_NAMES = AWS_NAMES
): RenewedTokens | null {
  const accessToken = textMember(answer, names.accessToken)
  if (accessToken === null || !isTokenText(accessToken)) return null
  const refreshToken = textMember(answer, names.refreshToken)
  const profileArn = textMember(answer, 'profileArn')
  return {
    accessToken,
    refreshToken: refreshToken !== null && isTokenText(refreshToken) ? refreshToken : null,
    expiresInS: lifeOf(answer, names.expiresIn),
    profileArn: profileArn !== null && isProfileArn(profileArn) ? profileArn : null
  }
}

const AWS_NAMES = {
  accessToken: 'accessToken',
  refreshToken: 'refreshToken',
  expiresIn: 'expiresIn'
} as const
const IDP_NAMES = {
  accessToken: 'access_token',
  refreshToken: 'refresh_token',
  expiresIn: 'expires_in'
} as const

function lifeOf(answer: JsonObject, name: string): number {
  const seconds = Number(answer[name])
  return seconds > 0 ? Math.min(seconds, MAX_LIFE_S) : DEFAULT_LIFE_S
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

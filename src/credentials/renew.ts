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
  readonly idpHosts?: readonly string[]
  readonly loginHint: string
  readonly leaving: AbortSignal
  /** Called before each attempt; a rejection ends the renewal before anything is sent. */
  readonly onAttempt?: () => Promise<void>
  readonly attempts?: number
}

const ATTEMPTS = 3
const FIRST_DELAY_MS = 1000
const MAX_DELAY_MS = 10_000

/**
 * Tries up to three times. After `leaving`, only an answer to what was sent is awaited: its token is used up.
 * @throws {GatewayError} the last failure, as `renewalFailure`, `idpTokenUrl` and `classifyFailure` say.
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

export type RenewalOutcome =
  | { readonly type: 'renewed'; readonly tokens: RenewedTokens }
  | { readonly type: 'refused'; readonly error: GatewayError }
  /** Not sent, or answered without using the token. */
  | { readonly type: 'unspent'; readonly error: GatewayError }
  /** Sent without a usable answer: the refresh token may be spent. */
  | { readonly type: 'unknown'; readonly error: GatewayError }

/** Presents the refresh token exactly once and says what became of it. */
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

/** `status` is `null` if no answer was read to its end. */
function outcomeOf(
  { code }: GatewayError,
  status: number | null
): 'refused' | 'unspent' | 'unknown' {
  if (status === null) return 'unknown'
  if (DEAD.has(code)) return 'refused'
  return isTurnedAway(status) || code === 'GW_UPSTREAM_RATE_LIMITED' ? 'unspent' : 'unknown'
}

/** Other refusals, such as a suspension, do not end a refresh token. */
const DEAD: ReadonlySet<ErrorCode> = new Set(['GW_UPSTREAM_AUTH', 'GW_REGISTRATION_EXPIRED'])

/** Only these show that nothing was done: 5xx may come after the work or from a proxy, 408 and 499 from a timeout. */
function isTurnedAway(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 499
}

function internal(cause: unknown): GatewayError {
  return new GatewayError('GW_INTERNAL', 'renewing the credentials failed', { cause })
}

/**
 * GitHub and Google renew at the Kiro desktop service (kiro-protocol §3.5), Builder ID and Identity Center at AWS SSO
 * (§3.6), others at their identity provider (§3.11).
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

const REFRESH_TIMEOUT_MS = 15_000
const DEFAULT_LIFE_S = 3600
const MAX_LIFE_S = 30 * 86_400

export interface RenewedTokens {
  readonly accessToken: string
  readonly refreshToken: string | null
  readonly expiresInS: number
  readonly profileArn: string | null
}

/** Errors never repeat what was sent. @throws {GatewayError} as `renewalFailure` says; GW_UPSTREAM_STATUS */
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

export interface WallClock {
  /** Epoch ms. */
  now(): number
  /** Does not keep the process alive; the result cancels. */
  after(delayMs: number, run: () => void): () => void
  /** Keeps the process alive; rejects when the signal aborts. */
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

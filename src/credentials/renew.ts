import type { HostOverrides } from '../kiro/hosts.ts'
import { GatewayError } from '../shared/errors.ts'
import { classifyFailure } from '../upstream/classify.ts'
import type { JsonCall, JsonRequest } from '../upstream/json-call.ts'
import type { Clock } from './clock.ts'
import { desktopRefreshRequest } from './desktop-refresh.ts'
import { oidcRefreshRequest } from './oidc-refresh.ts'
import {
  type AnswerContext,
  deadSignIn,
  isFinalRefusal,
  readRefreshAnswer,
  type RenewedTokens
} from './refresh-answer.ts'
import type { StoredCredential } from './stored-credential.ts'

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
  options: RenewOptions,
  signal: AbortSignal
): Promise<RenewedTokens> {
  const { clock, leaving } = options
  const request = { ...requestFor(stored, options), unlessSent: leaving }
  const over = AbortSignal.any([signal, leaving])
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await attemptRenewal(request, { stored, options }, signal)
    } catch (cause) {
      const error = toRefreshError(cause, stored, request)
      if (attempt >= ATTEMPTS || isFinalRefusal(error) || over.aborted) throw error
      const askedMs = (error.retryAfterS ?? 0) * 1000
      if (askedMs > MAX_DELAY_MS) throw error // not while requests wait for it
      const delayMs = Math.max(FIRST_DELAY_MS * 2 ** (attempt - 1), askedMs)
      await clock.sleep(delayMs, over).catch(() => {
        throw error
      })
    }
  }
}

interface Renewal {
  readonly stored: StoredCredential
  readonly options: RenewOptions
}

async function attemptRenewal(
  request: JsonRequest,
  { stored, options }: Renewal,
  signal: AbortSignal
): Promise<RenewedTokens> {
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

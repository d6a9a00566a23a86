import type { IncomingMessage } from 'node:http'
import { DEVICE_LIMITS } from '../../devices/device-limits.ts'
import { readDeviceCode, readRefreshToken } from '../../devices/device-secrets.ts'
import { plainLine } from '../../devices/plain-line.ts'
import type { DeviceAnswer, DeviceCall } from '../../ipc/devices.ts'
import { asGatewayError, GatewayError } from '../../shared/errors.ts'
import { answerEarly, KNOWN, STRANGER } from '../turn/answer-early.ts'
import { DEVICE_PATH, OAUTH_PATHS, type OAuthOptions } from './oauth-routes.ts'
import { baseUrlOf, clientAddress, isSafeWay, refuseOtherSites } from './own-page.ts'
import type { RoutedRequest } from './router.ts'
import { readSmallForm } from './small-body.ts'

const MAX_FORM_BYTES = 16 * 1024
const UNAVAILABLE_RETRY_S = 5

export const DEVICE_GRANT = 'urn:ietf:params:oauth:grant-type:device_code'
export const REFRESH_GRANT = 'refresh_token'

/** Error codes of RFC 6749 §5.2, RFC 7009 §2.2.1 and RFC 8628 §3.5. */
type OAuthErrorCode =
  | 'invalid_request'
  | 'invalid_grant'
  | 'unsupported_grant_type'
  | 'authorization_pending'
  | 'slow_down'
  | 'access_denied'
  | 'expired_token'
  | 'temporarily_unavailable'

interface OAuthError {
  readonly status: number
  readonly error: OAuthErrorCode
  /** For people: what happened and what to do. */
  readonly description: string
  readonly headers?: Readonly<Record<string, string>>
}

class OAuthRefusal extends Error {
  readonly oauth: OAuthError

  constructor(oauth: OAuthError) {
    super(oauth.description)
    this.oauth = oauth
  }
}

/** The endpoints of the sign-in of devices. The primary takes each step. */
export class OAuthServer {
  readonly #options: OAuthOptions

  constructor(options: OAuthOptions) {
    this.#options = options
  }

  /** RFC 8414 §3.2; `gateway_protocol_version` is what Claude Code's own gateways say. */
  metadata(routed: RoutedRequest): void {
    const base = this.#baseOf(routed)
    send(routed, 200, {
      issuer: base,
      device_authorization_endpoint: base + OAUTH_PATHS.deviceAuthorization,
      token_endpoint: base + OAUTH_PATHS.token,
      revocation_endpoint: base + OAUTH_PATHS.revoke,
      grant_types_supported: [DEVICE_GRANT, REFRESH_GRANT],
      response_types_supported: [],
      token_endpoint_auth_methods_supported: ['none'],
      revocation_endpoint_auth_methods_supported: ['none'],
      gateway_protocol_version: 1
    })
  }

  /** RFC 8628 §3.1 and §3.2. */
  authorizeDevice(routed: RoutedRequest): Promise<void> {
    return this.#serve(routed, async (form) => {
      const { request } = routed
      const { config } = this.#options.current
      const clientId = textIn(form, 'client_id', DEVICE_LIMITS.clientBytes)
      const surface = textIn(form, 'surface', DEVICE_LIMITS.clientBytes)
      const host = textIn(form, 'host_name', DEVICE_LIMITS.hostBytes) ?? ''
      const client = clientId ?? surface ?? productOf(request)
      const address = clientAddress(request, config.server)
      const answer = await this.#ask({ name: 'ask', clientId, client, host, address })
      if (answer.name === 'full') throw fullError(answer)
      if (answer.name !== 'asked') throw unexpected(answer)
      const page = this.#baseOf(routed) + DEVICE_PATH
      return {
        device_code: answer.deviceCode,
        user_code: answer.userCode,
        verification_uri: page,
        verification_uri_complete: `${page}?user_code=${answer.userCode}`,
        expires_in: answer.expiresInMs / 1000,
        interval: answer.intervalMs / 1000
      }
    })
  }

  /** RFC 8628 §3.4 and RFC 6749 §6. */
  token(routed: RoutedRequest): Promise<void> {
    return this.#serve(routed, (form) => {
      const grant = textIn(form, 'grant_type')
      if (grant === null) throw missing('grant_type')
      if (grant === DEVICE_GRANT) return this.#poll(form)
      if (grant === REFRESH_GRANT) return this.#refresh(form)
      const description = `This endpoint supports the grant types ${DEVICE_GRANT} and ${REFRESH_GRANT}.`
      throw badRequest('unsupported_grant_type', description)
    })
  }

  /** RFC 7009 §2.2: a token that is none any more is answered alike. */
  revoke(routed: RoutedRequest): Promise<void> {
    return this.#serve(routed, async (form) => {
      const token = textIn(form, 'token')
      if (token === null) throw missing('token')
      const answer = await this.#ask({ name: 'revoke', token })
      if (answer.name !== 'revoked') throw unexpected(answer)
      return {}
    })
  }

  async #poll(form: URLSearchParams): Promise<object> {
    const deviceCode = textIn(form, 'device_code')
    if (deviceCode === null) throw missing('device_code')
    const clientId = textIn(form, 'client_id', DEVICE_LIMITS.clientBytes)
    const { secret } = this.#options.current.devices
    const isJunk = secret !== null && readDeviceCode(secret, deviceCode) === null
    const answer: DeviceAnswer = isJunk
      ? { name: 'invalid' }
      : await this.#ask({ name: 'poll', deviceCode, clientId }).catch(silentPrimary)
    if (answer.name === 'unavailable') throw stillWaiting(answer.message)
    if (answer.name === 'tokens') return toTokens(answer)
    if (isPollError(answer.name)) throw new OAuthRefusal(POLL_ERRORS[answer.name])
    throw unexpected(answer)
  }

  async #refresh(form: URLSearchParams): Promise<object> {
    const token = textIn(form, 'refresh_token')
    if (token === null) throw missing('refresh_token')
    const clientId = textIn(form, 'client_id', DEVICE_LIMITS.clientBytes)
    const { secret } = this.#options.current.devices
    const isJunk = secret !== null && readRefreshToken(secret, token) === null
    if (isJunk) throw new OAuthRefusal(REFRESH_ERROR)
    const answer = await this.#ask({ name: 'refresh', token, clientId })
    if (answer.name === 'tokens') return toTokens(answer)
    if (answer.name === 'invalid') throw new OAuthRefusal(REFRESH_ERROR)
    throw unexpected(answer)
  }

  #ask(call: DeviceCall): Promise<DeviceAnswer> {
    return this.#options.primary.ask({ type: 'device.call', call })
  }

  async #serve(
    routed: RoutedRequest,
    act: (form: URLSearchParams) => Promise<object>
  ): Promise<void> {
    try {
      this.#admit(routed.request)
      const { bodyTimeoutMs: timeoutMs } = this.#options.current.config.server
      const form = await readSmallForm(routed.request, { maxBytes: MAX_FORM_BYTES, timeoutMs })
      refuseRepeated(form)
      send(routed, 200, await act(form))
    } catch (cause) {
      if (cause instanceof OAuthRefusal) return sendError(routed, cause.oauth)
      const error = asGatewayError(cause)
      if (error.code === 'GW_INTERNAL' || error.code === 'GW_CLIENT_CLOSED') throw cause
      sendError(routed, toOAuthError(error))
    }
  }

  /** @throws {GatewayError} GW_OTHER_SITE, GW_TLS_REQUIRED; without keys GW_KEY_MISSING for foreign pages and host names */
  #admit(request: IncomingMessage): void {
    const { authenticator, config } = this.#options.current
    refuseOtherSites(request.headers)
    if (authenticator.isOpen) authenticator.check(request.headers)
    if (!isSafeWay(request, config.server))
      throw new GatewayError('GW_TLS_REQUIRED', undefined, TLS_REQUIRED)
  }

  #baseOf({ request }: RoutedRequest): string {
    return baseUrlOf(request, this.#options.current.config.server)
  }
}

const TLS_REQUIRED = {
  message:
    'Devices sign in only over HTTPS or from this machine. Put a proxy with TLS in front of the gateway, and its address into TRUSTED_PROXIES.'
}

const POLL_ERRORS = {
  pending: {
    status: 400,
    error: 'authorization_pending',
    description: 'The code has not been approved yet.'
  },
  'slow-down': {
    status: 400,
    error: 'slow_down',
    description: 'Wait 5 seconds longer between polls from now on.'
  },
  denied: { status: 400, error: 'access_denied', description: 'The sign-in was denied.' },
  expired: {
    status: 400,
    error: 'expired_token',
    description: 'The code has expired. Start the sign-in again.'
  },
  invalid: {
    status: 400,
    error: 'invalid_grant',
    description:
      'The device code was not issued here for this client, or has been used. Start the sign-in again.'
  }
} as const satisfies Record<string, OAuthError>

function isPollError(name: string): name is keyof typeof POLL_ERRORS {
  return Object.hasOwn(POLL_ERRORS, name)
}

/** 401 makes clients sign the person out; the header keeps them from trying again. */
const REFRESH_ERROR: OAuthError = {
  status: 401,
  error: 'invalid_grant',
  description:
    'The refresh token is not valid: it was used or revoked, has expired, or its key is not in force. Sign in again.',
  headers: { 'x-should-retry': 'false', 'www-authenticate': 'Bearer error="invalid_grant"' }
}

/** RFC 8628 has no error for this; Claude Code's own gateways answer so. */
function fullError({
  isOwn,
  waitMs
}: Extract<DeviceAnswer, { readonly name: 'full' }>): OAuthRefusal {
  const seconds = Math.max(1, Math.ceil(waitMs / 1000))
  const who = isOwn ? 'your address' : 'this gateway'
  return new OAuthRefusal({
    status: 429,
    error: 'slow_down',
    description: `Too many devices of ${who} wait for approval. Approve or deny some, or try again in ${seconds} s.`,
    headers: { 'retry-after': String(seconds) }
  })
}

/** A primary that does not answer now is like one that cannot read the sign-ins. */
function silentPrimary(cause: unknown): DeviceAnswer {
  if (cause instanceof GatewayError && cause.code === 'GW_PRIMARY_SILENT')
    return { name: 'unavailable', message: cause.message }
  throw cause
}

/** A 503 ends the sign-in in Claude Code. This code of RFC 8628 §3.5 says that the device code is still good. */
function stillWaiting(why: string): OAuthRefusal {
  const { description } = POLL_ERRORS['slow-down']
  return badRequest('slow_down', `${why} ${description}`)
}

/** The state cannot be kept, or an answer that does not belong to its call, which would be a bug. */
function unexpected(answer: DeviceAnswer): Error {
  if (answer.name !== 'unavailable') return new Error(`unexpected answer ${answer.name}`)
  return new OAuthRefusal(unavailable(answer.message, UNAVAILABLE_RETRY_S))
}

function unavailable(description: string, retryAfterS: number): OAuthError {
  const headers = { 'retry-after': String(Math.ceil(retryAfterS)) }
  return { status: 503, error: 'temporarily_unavailable', description, headers }
}

function badRequest(error: OAuthErrorCode, description: string): OAuthRefusal {
  return new OAuthRefusal({ status: 400, error, description })
}

function missing(name: string): OAuthRefusal {
  return badRequest('invalid_request', `The parameter "${name}" is missing.`)
}

function toOAuthError({ code, message, status, retryAfterS }: GatewayError): OAuthError {
  if (status >= 500) return unavailable(message, retryAfterS ?? UNAVAILABLE_RETRY_S)
  // A page of another site, or a foreign name of a gateway without keys.
  const isForeign = code === 'GW_OTHER_SITE' || code === 'GW_KEY_MISSING'
  if (isForeign) return { status: 403, error: 'access_denied', description: message }
  return { status: 400, error: 'invalid_request', description: message }
}

/** RFC 6749 §3.2: parameters must not be included more than once. Unknown ones are ignored. */
function refuseRepeated(form: URLSearchParams): void {
  const names = [...form.keys()]
  const repeated = names.find((name, at) => names.indexOf(name) < at)
  if (repeated === undefined) return
  const shown = JSON.stringify(repeated.slice(0, 64))
  throw badRequest('invalid_request', `The parameter ${shown} is included more than once.`)
}

/** RFC 6749 §3.2: a parameter without a value counts as left out. What is shown to people is one plain line. */
function textIn(form: URLSearchParams, name: string, maxBytes = Infinity): string | null {
  const text = form.get(name) ?? ''
  const shown = maxBytes === Infinity ? text : plainLine(text, maxBytes)
  return shown === '' ? null : shown
}

/** First product of the user agent, such as `claude-code/2.1.332`; '' without one. */
function productOf({ headers }: IncomingMessage): string {
  const [product = ''] = (headers['user-agent'] ?? '').trim().split(/\s/, 1)
  return plainLine(product, DEVICE_LIMITS.clientBytes)
}

function toTokens(tokens: Extract<DeviceAnswer, { readonly name: 'tokens' }>): object {
  return {
    access_token: tokens.accessToken,
    token_type: 'Bearer',
    expires_in: tokens.expiresInMs / 1000,
    refresh_token: tokens.refreshToken
  }
}

function sendError(
  routed: RoutedRequest,
  { status, error, description, headers = {} }: OAuthError
): void {
  send(routed, status, { error, error_description: asciiOf(description) }, headers)
}

/** RFC 6749 §5.2: printable ASCII without quotes and backslashes. */
function asciiOf(text: string): string {
  return text.replaceAll('"', "'").replaceAll(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, '?')
}

function send(
  { request, response }: RoutedRequest,
  status: number,
  json: object,
  more: Readonly<Record<string, string>> = {}
): void {
  const headers = {
    'content-type': 'application/json;charset=UTF-8',
    'cache-control': 'no-store',
    pragma: 'no-cache',
    'x-content-type-options': 'nosniff',
    ...more
  }
  const patience = status === 200 ? KNOWN : STRANGER
  answerEarly(request, response, { status, headers, body: JSON.stringify(json) }, patience)
}

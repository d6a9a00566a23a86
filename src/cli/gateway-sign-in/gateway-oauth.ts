import { hostname } from 'node:os'
import {
  allowInsecureRequests,
  type Configuration,
  customFetch,
  discovery,
  initiateDeviceAuthorization,
  None,
  pollDeviceAuthorizationGrant,
  refreshTokenGrant,
  ResponseBodyError,
  tokenRevocation,
  WWWAuthenticateChallengeError
} from 'openid-client'
import type { DeviceCode } from '../../credentials/login/device-login.ts'
import { codeOf, GatewayError, operatorError } from '../../shared/errors.ts'
import { isOnThisMachine } from '../../shared/loopback.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'
import { jsonFetch } from '../../upstream/call/json-fetch.ts'

/** Answers of the gateway are small and quick; polls have their own pace. */
const TIMEOUT_S = 30
const CLIENT_ID = 'kiro-gateway'
/** Names the address. */
const SETTING = '--gateway'
/** Wait after a poll without an answer, such as while the gateway restarts. */
const RETRY_MS = 2_000

/** Tokens that a gateway has issued to this machine. */
export interface GatewayTokens {
  readonly accessToken: string
  readonly refreshToken: string
  /** Epoch ms. */
  readonly expiresAt: number
}

/** A refresh token that the gateway does not take any more: only a new sign-in helps. */
export class SignedOut extends Error {
  override readonly name = 'SignedOut'
}

/** Signs this machine in at another gateway by device code (RFC 8628), and renews its tokens. */
export class GatewayOAuth {
  readonly #url: string
  readonly #configuration: Configuration

  private constructor(url: string, configuration: Configuration) {
    this.#url = url
    this.#configuration = configuration
  }

  /** @throws {GatewayError} GW_CONFIG_INVALID if no gateway with this sign-in answers there */
  static async find(url: string, call: JsonCall): Promise<GatewayOAuth> {
    const server = new URL(url)
    if (server.protocol !== 'https:' && !isOnThisMachine(server.hostname))
      throw operatorError(
        `${url} is not encrypted, and tokens would be sent over the network as they are. Use an https:// address, or a tunnel to this machine.`
      )
    let configuration: Configuration
    try {
      configuration = await discovery(server, CLIENT_ID, undefined, None(), {
        algorithm: 'oauth2',
        [customFetch]: jsonFetch(call, { setting: SETTING, timeoutMs: TIMEOUT_S * 1000 }),
        timeout: TIMEOUT_S,
        execute: server.protocol === 'https:' ? [] : [allowInsecureRequests]
      })
    } catch (cause) {
      throw operatorError(`${problemOf(url, cause)} ${WHAT_IT_NEEDS}`, cause)
    }
    const { token_endpoint: token, device_authorization_endpoint: device } =
      configuration.serverMetadata()
    for (const endpoint of [token, device]) {
      if (URL.parse(endpoint ?? '')?.origin !== server.origin)
        throw operatorError(
          `${url} offers no sign-in for devices at its own address. ${WHAT_IT_NEEDS}`
        )
    }
    return new GatewayOAuth(url, configuration)
  }

  /**
   * Resolves when a user has approved the code. The tokens must be stored at once.
   * @throws {GatewayError} GW_LOGIN_DENIED, GW_LOGIN_EXPIRED, GW_CONFIG_INVALID; the signal's reason
   */
  async signIn(
    onCode: (code: DeviceCode) => void,
    onProblem: (problem: string) => void,
    signal: AbortSignal
  ): Promise<GatewayTokens> {
    const device = await initiateDeviceAuthorization(this.#configuration, {
      host_name: hostname()
    }).catch((cause: unknown) => {
      throw operatorError(problemOf(this.#url, cause), cause)
    })
    const { user_code: userCode, verification_uri: verificationUrl, expires_in: lifeS } = device
    const expiresAt = Date.now() + lifeS * 1000
    const url = device.verification_uri_complete ?? verificationUrl
    onCode({ userCode, url, verificationUrl, expiresAt })
    for (;;) {
      try {
        const tokens = await pollDeviceAuthorizationGrant(this.#configuration, device, undefined, {
          signal
        })
        return tokensIn(tokens, this.#url)
      } catch (cause) {
        signal.throwIfAborted()
        if (cause instanceof GatewayError) throw cause
        if (cause instanceof ResponseBodyError && cause.status < 500) throw refused(cause)
        if (Date.now() >= expiresAt)
          throw new GatewayError('GW_LOGIN_EXPIRED', undefined, { cause })
        onProblem(problemOf(this.#url, cause))
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  /** A refresh token is good once: store the new one before anything else. @throws {SignedOut}; {GatewayError} GW_CONFIG_INVALID */
  async refresh(refreshToken: string): Promise<GatewayTokens> {
    try {
      return tokensIn(await refreshTokenGrant(this.#configuration, refreshToken), this.#url)
    } catch (cause) {
      if (cause instanceof GatewayError) throw cause
      if (isInvalidGrant(cause)) throw new SignedOut(ENDED, { cause })
      throw operatorError(problemOf(this.#url, cause), cause)
    }
  }

  /** Ends the sign-in at the gateway. @throws {GatewayError} GW_CONFIG_INVALID without an answer */
  async revoke(refreshToken: string): Promise<void> {
    await tokenRevocation(this.#configuration, refreshToken).catch((cause: unknown) => {
      throw operatorError(problemOf(this.#url, cause), cause)
    })
  }
}

const ENDED = 'its operator or another program has ended the sign-in, or its key.'

/** A refusal with status 401 may be a challenge to the library, whatever its body says. */
function isInvalidGrant(cause: unknown): boolean {
  if (cause instanceof ResponseBodyError) return cause.error === 'invalid_grant'
  return cause instanceof WWWAuthenticateChallengeError && cause.status === 401
}

const WHAT_IT_NEEDS = 'Use the address of a kiro-gateway whose DEVICE_SIGN_IN is not off.'

type TokenAnswer = Awaited<ReturnType<typeof refreshTokenGrant>>

function tokensIn(answer: TokenAnswer, url: string): GatewayTokens {
  const { access_token: accessToken, refresh_token: refreshToken, expires_in: lifeS } = answer
  if (refreshToken === undefined || lifeS === undefined)
    throw operatorError(`${url} has issued no token that can be renewed.`)
  return { accessToken, refreshToken, expiresAt: Date.now() + lifeS * 1000 }
}

function refused(cause: ResponseBodyError): GatewayError {
  if (cause.error === 'access_denied') return new GatewayError('GW_LOGIN_DENIED')
  if (cause.error === 'expired_token') return new GatewayError('GW_LOGIN_EXPIRED')
  return operatorError(cause.error_description ?? `The gateway says: ${cause.error}.`, cause)
}

/** Says in a sentence what an answer, or none, means. */
function problemOf(url: string, cause: unknown): string {
  if (cause instanceof ResponseBodyError)
    return cause.error_description ?? `${url} says: ${cause.error}.`
  const isAnswered = codeOf(cause).startsWith('OAUTH_') && codeOf(cause) !== 'OAUTH_TIMEOUT'
  if (isAnswered) return `${url} does not answer as a gateway with a sign-in for devices.`
  const failure = cause instanceof Error ? cause.cause : undefined
  const why = failure instanceof GatewayError ? ` ${failure.message}` : ''
  return `${url} does not answer.${why}`
}

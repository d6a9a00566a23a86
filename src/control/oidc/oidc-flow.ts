import {
  allowInsecureRequests,
  authorizationCodeGrant,
  AuthorizationResponseError,
  buildAuthorizationUrl,
  buildEndSessionUrl,
  calculatePKCECodeChallenge,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  type Configuration,
  customFetch,
  type CustomFetch,
  discovery,
  fetchUserInfo,
  None,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
  ResponseBodyError
} from 'openid-client'
import type { Config } from '../../config/settings.ts'
import { admitOidcUser } from '../../dashboard/oidc-users.ts'
import type { OidcAnswer, OidcCall, OidcRefusal } from '../../ipc/oidc.ts'
import type { Logger } from '../../observe/logger.ts'
import { GatewayError, messageOf } from '../../shared/errors.ts'
import { jsonFetch } from '../../upstream/call/json-fetch.ts'
import type { JsonCall } from '../../upstream/call/json-exchange.ts'

export interface OidcFlowOptions {
  readonly config: () => Pick<Config, 'observe'>
  readonly call: JsonCall
  readonly log: Pick<Logger, 'info' | 'warn'>
}

/** The provider's description of itself seldom changes. */
const FRESH_MS = 3_600_000
/** Interval of attempts to renew that while the former is still used. */
const RETRY_MS = 60_000
const TIMEOUT_MS = 10_000
const SETTING = 'DASHBOARD_OIDC_ISSUER'

interface Provider {
  readonly settings: string
  readonly configuration: Configuration
  /** `performance.now()` */
  readonly dueAt: number
}

/** Signs operators of the panel in by OpenID Connect: code flow with PKCE, state and nonce. */
export class OidcFlow {
  readonly #options: OidcFlowOptions
  readonly #fetch: CustomFetch
  #provider: Provider | null = null
  #discovering: { readonly settings: string; readonly found: Promise<Configuration> } | null = null

  constructor(options: OidcFlowOptions) {
    this.#options = options
    this.#fetch = jsonFetch(options.call, { setting: SETTING, timeoutMs: TIMEOUT_MS })
  }

  /** Never rejects. */
  async act(call: OidcCall): Promise<OidcAnswer> {
    try {
      switch (call.name) {
        case 'begin':
          return await this.#begin(call)
        case 'finish':
          return await this.#finish(call)
        case 'end':
          return await this.#end(call)
      }
    } catch (cause) {
      const reason = reasonOf(cause)
      const failure = failureOf(cause)
      this.#options.log.warn({ step: call.name, reason, failure }, 'a sign-in by OIDC has failed')
      return { name: 'refused', reason }
    }
  }

  async #begin({
    redirectUri
  }: Extract<OidcCall, { readonly name: 'begin' }>): Promise<OidcAnswer> {
    const configuration = await this.#configuration()
    const checks = {
      state: randomState(),
      nonce: randomNonce(),
      verifier: randomPKCECodeVerifier()
    }
    const url = buildAuthorizationUrl(configuration, {
      redirect_uri: redirectUri,
      scope: this.#scopes(configuration),
      code_challenge: await calculatePKCECodeChallenge(checks.verifier),
      code_challenge_method: 'S256',
      state: checks.state,
      nonce: checks.nonce
    })
    return { name: 'begun', url: url.href, checks }
  }

  async #finish({
    url,
    checks,
    address
  }: Extract<OidcCall, { readonly name: 'finish' }>): Promise<OidcAnswer> {
    const configuration = await this.#configuration()
    const tokens = await authorizationCodeGrant(configuration, new URL(url), {
      pkceCodeVerifier: checks.verifier,
      expectedState: checks.state,
      expectedNonce: checks.nonce,
      idTokenExpected: true
    })
    const told = tokens.claims()
    const { userinfo_endpoint: more } = configuration.serverMetadata()
    const asked =
      more === undefined || told === undefined
        ? {}
        : await fetchUserInfo(configuration, tokens.access_token, told.sub)
    const { observe } = this.#options.config()
    const admitted = admitOidcUser({ ...asked, ...told }, observe)
    const { log } = this.#options
    if (typeof admitted === 'string') {
      log.warn(
        { reason: admitted, subject: told?.sub, address },
        'a user may not operate the panel'
      )
      return { name: 'refused', reason: admitted }
    }
    log.info({ ...admitted, address }, 'signed in to the panel by OIDC')
    return { name: 'signed-in', ...admitted }
  }

  async #end({ returnTo }: Extract<OidcCall, { readonly name: 'end' }>): Promise<OidcAnswer> {
    const configuration = await this.#configuration()
    if (configuration.serverMetadata().end_session_endpoint === undefined)
      return { name: 'ended', url: null }
    const url = buildEndSessionUrl(configuration, { post_logout_redirect_uri: returnTo })
    return { name: 'ended', url: url.href }
  }

  #scopes(configuration: Configuration): string {
    const { scopes_supported: known = [] } = configuration.serverMetadata()
    const { oidcGroups } = this.#options.config().observe
    const isNeeded = oidcGroups.length > 0 && known.includes('groups')
    return ['openid', 'email', 'profile', ...(isNeeded ? ['groups'] : [])].join(' ')
  }

  /** Keeps what is known for a while where the provider does not answer. */
  async #configuration(): Promise<Configuration> {
    const settings = this.#settings()
    const known = this.#provider?.settings === settings ? this.#provider : null
    if (known !== null && performance.now() < known.dueAt) return known.configuration
    try {
      if (this.#discovering?.settings !== settings)
        this.#discovering = { settings, found: this.#discover() }
      const configuration = await this.#discovering.found
      this.#provider = { settings, configuration, dueAt: performance.now() + FRESH_MS }
      return configuration
    } catch (cause) {
      if (known === null) throw new Undiscovered(cause)
      this.#provider = { ...known, dueAt: performance.now() + RETRY_MS }
      return known.configuration
    } finally {
      if (this.#discovering?.settings === settings) this.#discovering = null
    }
  }

  #settings(): string {
    const { oidcIssuer, oidcClientId, oidcClientSecret } = this.#options.config().observe
    return JSON.stringify([oidcIssuer, oidcClientId, oidcClientSecret])
  }

  async #discover(): Promise<Configuration> {
    const { oidcIssuer, oidcClientId, oidcClientSecret } = this.#options.config().observe
    const issuer = new URL(oidcIssuer ?? '')
    return discovery(issuer, oidcClientId ?? '', undefined, authOf(oidcClientSecret), {
      [customFetch]: this.#fetch,
      timeout: TIMEOUT_MS / 1000,
      execute: issuer.protocol === 'http:' ? [allowInsecureRequests] : []
    })
  }
}

class Undiscovered extends Error {
  constructor(cause: unknown) {
    super('the provider cannot be asked what it offers', { cause })
  }
}

/** Sends the secret in the way that the provider knows; without one, PKCE is the only proof. */
function authOf(secret: string | null): ClientAuth {
  if (secret === null) return None()
  const [post, basic] = [ClientSecretPost(secret), ClientSecretBasic(secret)]
  return (server, ...rest) => {
    const known = server.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
    return known.includes('client_secret_basic') ? basic(server, ...rest) : post(server, ...rest)
  }
}

function reasonOf(cause: unknown): OidcRefusal {
  if (cause instanceof Undiscovered) return 'unavailable'
  if (cause instanceof AuthorizationResponseError)
    return cause.error === 'access_denied' ? 'denied' : 'failed'
  // The code was used before, or too late.
  if (cause instanceof ResponseBodyError)
    return cause.error === 'invalid_grant' ? 'stale' : 'failed'
  const isUnanswered = causesOf(cause).some(
    (one) => one instanceof GatewayError || (one instanceof Response && one.status >= 500)
  )
  return isUnanswered ? 'unavailable' : 'failed'
}

/** For the log: without tokens, which no message of these errors has. */
function failureOf(cause: unknown): string {
  const said = causesOf(cause).flatMap((one) => {
    if (one instanceof Response) return [`status ${one.status}`]
    if (one instanceof ResponseBodyError || one instanceof AuthorizationResponseError)
      return [one.error, one.error_description ?? '']
    return one instanceof Error ? [messageOf(one)] : []
  })
  return said
    .filter((one) => one !== '')
    .join(': ')
    .slice(0, 500)
}

function causesOf(cause: unknown): readonly unknown[] {
  const found: unknown[] = []
  for (let one = cause; one !== undefined && found.length < 5; ) {
    found.push(one)
    one = one instanceof Error ? one.cause : undefined
  }
  return found
}

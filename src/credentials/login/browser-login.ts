import { createHash, randomBytes } from 'node:crypto'
import { desktopUrl } from '../../kiro/wire/hosts.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { NewSignIn } from '../own-sign-in.ts'
import { receivedTokens } from '../renew.ts'
import { isTokenText } from '../stored-credential.ts'
import { askService, incomplete, type SignInServiceOptions } from './sign-in-service.ts'

export type SocialProvider = 'google' | 'github'

const PORTAL = 'https://app.kiro.dev/signin'
/** The only port to which the portal is known to return (kiro-protocol §3.12). */
export const CALLBACK_PORT = 3128
/** The portal's own timeout. */
export const BROWSER_PATIENCE_MS = 600_000
const REGION = 'us-east-1'

const PROVIDERS = { google: 'Google', github: 'Github' } as const

export type Callback =
  | {
      readonly name: 'code'
      readonly code: string
      readonly redirectUri: string
      /** May differ from the provider that was offered. */
      readonly provider: SocialProvider
    }
  /** Belongs to another sign-in or is unusable; ignored. */
  | { readonly name: 'foreign'; readonly problem: string }
  | { readonly name: 'failed'; readonly error: GatewayError }

/** Signs in with Google or GitHub by a callback to `http://localhost`, identified by `state`, with PKCE (RFC 7636). */
export class BrowserLogin {
  readonly url: string
  readonly #origin: string
  readonly #state = randomBytes(24).toString('base64url')
  readonly #verifier = randomBytes(32).toString('base64url')
  #isCodeUsed = false

  constructor(provider: SocialProvider, port: number) {
    this.#origin = `http://localhost:${port}`
    const url = new URL(PORTAL)
    url.search = new URLSearchParams({
      state: this.#state,
      code_challenge: createHash('sha256').update(this.#verifier).digest('base64url'),
      code_challenge_method: 'S256',
      redirect_uri: this.#origin,
      redirect_from: 'kiro-gateway',
      signin_methods: provider
    }).toString()
    this.url = url.href
  }

  /** Accepts the whole address or its part from the path on. */
  readCallback(address: string): Callback {
    const whole = address.trim().replace(/^(?=localhost:)/, 'http://') // as browsers show it
    const url = URL.parse(whole, this.#origin)
    if (url === null) return foreign('This is not an address.')
    const { searchParams: params } = url
    if (params.get('state') !== this.#state) {
      return foreign('This address belongs to another sign-in, or is incomplete.')
    }
    const option = params.get('login_option') ?? ''
    const refusal = params.get('error')
    if (refusal !== null) return { name: 'failed', error: refusedBy(refusal) }
    if (option !== 'google' && option !== 'github') {
      return { name: 'failed', error: otherWay(option, params) }
    }
    const code = params.get('code') ?? ''
    if (!isTokenText(code)) return foreign('This address has no code.')
    // The service compares this with the real redirect, and spends the code if they differ.
    const redirectUri = `${this.#origin}${url.pathname}?login_option=${option}`
    return { name: 'code', code, redirectUri, provider: option }
  }

  /** Uses the code up. @throws {GatewayError} as `askService()`; GW_UPSTREAM_AUTH, GW_UPSTREAM_STATUS */
  async redeem(
    { code, redirectUri, provider }: Extract<Callback, { name: 'code' }>,
    options: SignInServiceOptions
  ): Promise<NewSignIn> {
    if (this.#isCodeUsed) throw new Error('a code can be used only once')
    this.#isCodeUsed = true
    const { upstream } = options
    const answered = await askService(
      {
        url: desktopUrl(REGION, '/oauth/token', upstream),
        body: { code, code_verifier: this.#verifier, redirect_uri: redirectUri },
        setting: 'KIRO_AUTH_URL',
        secrets: [code, this.#verifier]
      },
      options
    )
    if (answered.name === 'refused') throw answered.refusal.error
    const tokens = receivedTokens(answered.answer) ?? incomplete('accessToken')
    return { ...tokens, authMethod: 'social', provider: PROVIDERS[provider], region: REGION }
  }
}

function foreign(problem: string): Callback {
  return { name: 'foreign', problem }
}

function refusedBy(word: string): GatewayError {
  const shown = /^[\w.-]{1,60}$/.test(word) ? word : 'unknown reason'
  return new GatewayError('GW_LOGIN_DENIED', undefined, {
    message: `The sign-in was not finished in the browser (${shown}). Run the command again.`
  })
}

function otherWay(option: string, params: URLSearchParams): GatewayError {
  const startUrl = URL.parse(params.get('issuer_url') ?? '')
  const region = params.get('idc_region') ?? ''
  const isOrganisation = ['awsidc', 'internal'].includes(option) && startUrl?.protocol === 'https:'
  const place = isOrganisation
    ? ` --start-url ${startUrl.href}${/^[a-z0-9-]+$/.test(region) ? ` --region ${region}` : ''}`
    : ''
  const message =
    option === 'external_idp'
      ? 'You chose the identity provider of an organisation. Sign in with the Kiro IDE or kiro-cli instead; the gateway uses their sign-in.'
      : `You chose a way to sign in that needs a code. Run: kiro-gateway login${place}`
  return new GatewayError('GW_LOGIN_DENIED', undefined, { message })
}

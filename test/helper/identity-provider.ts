import { generateKeyPairSync } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'
import { Provider } from 'oidc-provider'

export interface Account {
  readonly sub: string
  readonly email?: string
  readonly email_verified?: boolean
  readonly preferred_username?: string
  readonly groups?: readonly string[]
}

export const CLIENT = { id: 'panel', secret: 'secret-of-the-panel-and-the-provider' } as const

/** This gateway's, and that of the gateway in Claude Code's package. */
const CALLBACKS = ['/dashboard/oidc/callback', '/oauth/callback']

type Serve = (request: IncomingMessage, response: ServerResponse) => unknown

/** A real OpenID Connect provider on loopback. Whoever comes is `account` and consents, or refuses. */
export class IdentityProvider {
  readonly issuer: string
  /** Who signs in next. */
  account: Account = { sub: 'nobody' }
  isRefusing = false
  /** Paths that were asked for. */
  readonly asked: string[] = []
  #serve: Serve | null = null

  constructor(server: Server) {
    const { port } = server.address() as AddressInfo
    this.issuer = `http://127.0.0.1:${port}`
    server.on('request', (request, response) => {
      const path = (request.url ?? '').split('?', 1)[0] ?? ''
      this.asked.push(path)
      if (this.#serve === null) response.writeHead(503).end()
      else void this.#serve(request, response)
    })
  }

  /** Answers 503 until `open()`. */
  static async start(t: Test): Promise<IdentityProvider> {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => {
      server.closeAllConnections()
      server.close()
    })
    return new IdentityProvider(server)
  }

  /** Addresses of the gateway, as browsers know it. */
  open(...gateways: readonly string[]): void {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const provider = new Provider(this.issuer, {
      clients: [
        {
          client_id: CLIENT.id,
          client_secret: CLIENT.secret,
          redirect_uris: gateways.flatMap((url) => CALLBACKS.map((path) => url + path)),
          post_logout_redirect_uris: gateways.map((url) => `${url}/`)
        }
      ],
      cookies: { keys: ['key-of-its-cookies'] },
      jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', alg: 'RS256' }] },
      scopes: ['openid', 'email', 'profile', 'groups'],
      claims: {
        openid: ['sub'],
        email: ['email', 'email_verified'],
        profile: ['preferred_username'],
        groups: ['groups']
      },
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
      findAccount: (_: unknown, accountId: string) => ({
        accountId,
        claims: () => ({ ...this.account, sub: accountId })
      }),
      ttl: { Session: 600, Grant: 600, Interaction: 600, AccessToken: 600, IdToken: 600 }
    })
    const serve = provider.callback()
    this.#serve = (request, response) =>
      request.url?.startsWith('/interaction/') === true
        ? this.#interact(provider, request, response)
        : serve(request, response)
  }

  /** From now on it answers 503. */
  shut(): void {
    this.#serve = null
  }

  async #interact(provider: Provider, request: IncomingMessage, response: ServerResponse) {
    const { prompt, params, session } = await provider.interactionDetails(request, response)
    const finish = (result: object) =>
      provider.interactionFinished(request, response, result, { mergeWithLastSubmission: false })
    if (this.isRefusing) return finish({ error: 'access_denied', error_description: 'not today' })
    if (prompt.name === 'login') return finish({ login: { accountId: this.account.sub } })
    const accountId = session?.accountId ?? ''
    const grant = new provider.Grant({ accountId, clientId: params.client_id })
    grant.addOIDCScope('openid email profile groups')
    return finish({ consent: { grantId: await grant.save() } })
  }
}

import type { IncomingMessage } from 'node:http'
import type { Config } from '../../config/settings.ts'
import { oidcDigests, oidcUserOf } from '../../dashboard/oidc-users.ts'
import {
  type DigestsOf,
  isSameToken,
  OPERATOR,
  type Session,
  type Sessions
} from '../../dashboard/session.ts'
import type { PanelUser } from '../../ipc/panel.ts'
import { GatewayError } from '../../shared/errors.ts'
import { type Authenticator, type ClientKey, hasKey } from './auth.ts'
import {
  clientAddress,
  isFromProxy,
  isFromPage,
  isSafeWay,
  refuseOtherSites,
  requireOwnPage
} from './own-page.ts'

/** Latest message of the primary. Changes in place. */
export interface PanelSettings {
  readonly config: Config
  readonly authenticator: Authenticator
}

/** A user of the panel, and how the page proves that a change is its own. */
export interface Visitor {
  readonly user: PanelUser
  /** `null` for a program with a key. */
  readonly csrf: string | null
  /** Epoch ms; `null` if it does not end by itself. */
  readonly expiresAt: number | null
}

export class PanelUsers {
  readonly #sessions: Sessions
  readonly #current: PanelSettings

  constructor(sessions: Sessions, current: PanelSettings) {
    this.#sessions = sessions
    this.#current = current
  }

  /**
   * `null` for a page that has to sign in first.
   * @throws {GatewayError} GW_KEY_MISSING for foreign pages and host names of a gateway without keys
   */
  find(request: IncomingMessage): Visitor | null {
    const { authenticator } = this.#current
    if (authenticator.isOpen) {
      authenticator.check(request.headers)
      const user = this.#operator(request, OPERATOR, 'open')
      return { user, csrf: this.#sessions.openCsrf, expiresAt: null }
    }
    const user = this.#userOfProxy(request)
    if (user !== null) return user
    const session = this.sessionOf(request)
    return session === null ? null : this.ofSession(request, session)
  }

  sessionOf(request: IncomingMessage): Session | null {
    return this.#sessions.find(request.headers.cookie, this.#digestsOf)
  }

  /** A browser that has signed in, also by a proxy. On a gateway without keys none has. */
  isKnown(request: IncomingMessage): boolean {
    return !this.#current.authenticator.isOpen && this.find(request) !== null
  }

  /** @throws {GatewayError} as `find()` and `Authenticator.check()` */
  identify(request: IncomingMessage): Visitor {
    const { authenticator } = this.#current
    if (authenticator.isOpen || !this.#hasOwnKey(request)) {
      const visitor = this.find(request)
      if (visitor !== null) return visitor
      const advice = isFromBrowser(request.headers) ? SIGN_IN_FIRST : KEY_WANTED
      throw new GatewayError('GW_KEY_MISSING', undefined, advice)
    }
    const { named } = authenticator.check(request.headers, OTHER_KEY_WANTED)
    const role = named === null ? 'operator' : 'person'
    const [name, key] = [named?.name ?? OPERATOR, named?.id ?? null]
    const user = { role, name, key, via: 'key', address: this.#addressOf(request) } as const
    return { user, csrf: null, expiresAt: null }
  }

  /** @throws {GatewayError} as `identify()`, GW_OTHER_SITE, GW_OPERATOR_ONLY */
  reader(request: IncomingMessage): Visitor {
    refuseOtherSites(request.headers)
    return this.identify(request)
  }

  /** @throws {GatewayError} as `reader()`, GW_CSRF_INVALID, GW_READ_ONLY, GW_TLS_REQUIRED */
  changer(request: IncomingMessage): Visitor {
    const visitor = this.identify(request)
    if (visitor.user.via !== 'key') requireOwnPage(request.headers)
    if (visitor.user.role !== 'operator') throw new GatewayError('GW_OPERATOR_ONLY')
    const { user, csrf } = visitor
    // A program on a machine whose gateway has no keys has no session either; every browser says where it comes from.
    const needsToken = csrf !== null && (user.via !== 'open' || isFromPage(request.headers))
    if (needsToken && !isSameToken(request.headers['x-csrf-token'], csrf))
      throw new GatewayError('GW_CSRF_INVALID')
    const refusal = this.whyNot(request, visitor)
    if (refusal !== null) throw refusal
    return visitor
  }

  /**
   * A page that asks a client API with its session and the form token that the request has, such as for a test prompt;
   * `null` for all others. Its name is that of no key, so that it finds no stored answers of one.
   */
  client(request: IncomingMessage): ClientKey | null {
    const { headers } = request
    const token = headers['x-csrf-token']
    const { authenticator } = this.#current
    if (authenticator.isOpen || this.#hasOwnKey(request)) return null
    if (this.#current.config.observe.dashboard === 'off') return null
    const visitor = this.find(request)
    if (visitor?.csrf === undefined || visitor.csrf === null) return null
    requireOwnPage(headers)
    if (!isSameToken(token, visitor.csrf)) throw new GatewayError('GW_CSRF_INVALID')
    const { key } = visitor.user
    if (key === null) return { name: PANEL, named: null }
    const named = authenticator.namedKey(key)
    return named === null ? null : { name: named.id, named }
  }

  /** Returns why this user may change nothing now. */
  whyNot(request: IncomingMessage, { user }: Visitor): GatewayError | null {
    const { config } = this.#current
    if (user.role !== 'operator') return new GatewayError('GW_OPERATOR_ONLY')
    if (config.observe.dashboard === 'read-only') return new GatewayError('GW_READ_ONLY')
    if (!isSafeWay(request, config.server)) return new GatewayError('GW_TLS_REQUIRED')
    return null
  }

  ofSession(request: IncomingMessage, { subject, csrf, expiresAt }: Session): Visitor {
    const signedIn = oidcUserOf(subject)
    if (signedIn !== null)
      return { user: this.#operator(request, signedIn.user, 'oidc'), csrf, expiresAt }
    if (subject === OPERATOR)
      return { user: this.#operator(request, OPERATOR, 'session'), csrf, expiresAt }
    const name = this.#current.authenticator.namedKey(subject)?.name ?? subject
    const address = this.#addressOf(request)
    const user = { role: 'person', name, key: subject, via: 'session', address } as const
    return { user, csrf, expiresAt }
  }

  #operator(request: IncomingMessage, name: string, via: PanelUser['via']): PanelUser {
    return { role: 'operator', name, key: null, via, address: this.#addressOf(request) }
  }

  readonly #digestsOf: DigestsOf = (subject) => {
    const { authenticator, config } = this.#current
    const signedIn = oidcUserOf(subject)
    return signedIn === null
      ? authenticator.digestsOf(subject)
      : oidcDigests(signedIn, config.observe)
  }

  /** A user whom a trusted proxy has signed in, and who may operate the gateway. */
  #userOfProxy(request: IncomingMessage): Visitor | null {
    const { observe, server } = this.#current.config
    const { trustedHeader, operators } = observe
    if (trustedHeader === null || !isFromProxy(request, server)) return null
    const name = request.headers[trustedHeader.toLowerCase()]
    if (typeof name !== 'string' || !USER_NAME.test(name)) return null
    const may = operators.some((one) => one === '*' || one.toLowerCase() === name.toLowerCase())
    if (!may) return null
    const user = this.#operator(request, name, 'header')
    return { user, csrf: this.#sessions.csrfOfUser(name), expiresAt: null }
  }

  /**
   * A proxy may add its provider's token to what a browser sends, as oauth2-proxy does. That is not a key of this gateway,
   * so a signed-in user stays who they are, with the form token that their changes need.
   */
  #hasOwnKey(request: IncomingMessage): boolean {
    if (!hasKey(request.headers)) return false
    if (this.find(request) === null) return true
    try {
      this.#current.authenticator.check(request.headers)
      return true
    } catch (cause) {
      return !(cause instanceof GatewayError && cause.code === 'GW_KEY_INVALID')
    }
  }

  #addressOf(request: IncomingMessage): string {
    return clientAddress(request, this.#current.config.server)
  }
}

const PANEL = 'panel'

const USER_NAME = /^[\p{L}\p{N}\p{P}\p{S} ]{1,256}$/u

const SIGN_IN_FIRST = {
  message: 'You are not signed in. Open the page at / and sign in.'
}

const WHICH_KEY =
  'Send "Authorization: Bearer OPERATOR_KEY" with a key of PROXY_API_KEY. A named key opens only /admin/v1/me and what is below it.'

const KEY_WANTED = { message: `This needs a key. ${WHICH_KEY}` }

const OTHER_KEY_WANTED = {
  message: `This gateway does not know the key that was sent. ${WHICH_KEY}`
}

function isFromBrowser(headers: IncomingMessage['headers']): boolean {
  return headers.cookie !== undefined || isFromPage(headers)
}

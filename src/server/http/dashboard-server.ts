import type { IncomingMessage, ServerResponse } from 'node:http'
import { endOfSession, type Sessions } from '../../dashboard/session.ts'
import { SignInTries } from '../../dashboard/sign-in-tries.ts'
import { invalidBody } from '../../dialects/plan/json-body.ts'
import { GatewayError } from '../../shared/errors.ts'
import { textMember } from '../../shared/json.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { DashboardOptions } from './dashboard-routes.ts'
import { DevicePages } from './device-pages.ts'
import { KeySignIn } from './key-sign-in.ts'
import { isDeviceSignInOff } from './oauth-routes.ts'
import { OidcPages } from './oidc-pages.ts'
import { isSecure, NOT_KEPT, refuseOtherSites, requireOwnPage } from './own-page.ts'
import { PageFiles } from './page-files.ts'
import { PanelUsers, type Visitor } from './panel-users.ts'
import type { RoutedRequest } from './router.ts'
import { readSmallBody } from './small-body.ts'

const MAX_BODY_BYTES = 4_096
const BODY_TIMEOUT_MS = 10_000

export class DashboardServer {
  readonly #options: DashboardOptions
  readonly #sessions: Sessions
  readonly #users: PanelUsers
  readonly #keys: KeySignIn
  readonly #files = new PageFiles()
  readonly oidc: OidcPages
  readonly devices: DevicePages

  constructor(options: DashboardOptions) {
    this.#options = options
    this.#sessions = options.sessions
    this.#users = new PanelUsers(this.#sessions, options.current)
    const tries = new SignInTries()
    this.#keys = new KeySignIn({ ...options, tries })
    this.oidc = new OidcPages({ ...options, tries })
    this.devices = new DevicePages({ ...options, keys: this.#keys })
  }

  file(routed: RoutedRequest, name: string): Promise<void> {
    return this.#files.serve(routed, name)
  }

  session({ request, response }: RoutedRequest): void {
    refuseOtherSites(request.headers)
    sendSession(request, response, this.#toAnswer(request, this.#users.find(request)))
  }

  /** @throws {GatewayError} GW_SIGN_IN_OFTEN, GW_KEY_INVALID, GW_OTHER_SITE, GW_BODY_INVALID */
  async signIn({ request, response }: RoutedRequest): Promise<void> {
    requireOwnPage(request.headers)
    const { current } = this.#options
    if (current.authenticator.isOpen) {
      return sendSession(request, response, this.#toAnswer(request, this.#users.find(request)))
    }
    const { bodyTimeoutMs } = current.config.server
    const timeoutMs = Math.min(BODY_TIMEOUT_MS, bodyTimeoutMs)
    const key = textMember(
      await readSmallBody(request, { maxBytes: MAX_BODY_BYTES, timeoutMs }),
      'key'
    )
    if (key === null) throw invalidBody('Send {"key": "<a key of this gateway>"}.')
    const session = await this.#keys.begin(request, key)
    response.setHeader('set-cookie', session.cookie)
    sendSession(request, response, this.#toAnswer(request, this.#users.ofSession(request, session)))
  }

  /** @throws {GatewayError} GW_OTHER_SITE, GW_PRIMARY_SILENT */
  async signOut({ request, response }: RoutedRequest): Promise<void> {
    requireOwnPage(request.headers)
    const session = this.#users.sessionOf(request)
    response.setHeader('set-cookie', endOfSession(isSecure(request.headers)))
    if (session !== null) await this.#options.endSession(session)
    answerEarly(request, response, { status: 204, headers: NOT_KEPT, body: '' })
  }

  /** @throws {GatewayError} as `PanelUsers.reader()`, GW_OPERATOR_ONLY, GW_DASHBOARD_FULL, GW_PRIMARY_SILENT */
  async events({ request, response }: RoutedRequest): Promise<void> {
    this.#requireOperator(request)
    this.#options.connections.vouchPage(request.socket)
    if (request.method === 'HEAD') {
      const type = { 'content-type': 'text/event-stream; charset=utf-8', ...NOT_KEPT }
      return answerEarly(request, response, { status: 200, headers: type, body: '' })
    }
    await this.#options.pages.open(response, () => this.#mayStay(request))
  }

  #requireOperator(request: IncomingMessage): void {
    const { user } = this.#users.reader(request)
    if (user.role !== 'operator') throw new GatewayError('GW_OPERATOR_ONLY')
  }

  #mayStay(request: IncomingMessage): boolean {
    if (this.#options.current.config.observe.dashboard === 'off') return false
    try {
      this.#requireOperator(request)
      return true
    } catch {
      return false
    }
  }

  #toAnswer(request: IncomingMessage, visitor: Visitor | null): object {
    const { authenticator, config } = this.#options.current
    const { observe } = config
    const whyNot = visitor === null ? null : this.#users.whyNot(request, visitor)
    return {
      isKeyNeeded: !authenticator.isOpen,
      isSignedIn: visitor !== null,
      canSignIn: authenticator.hasKeys || observe.oidcIssuer !== null,
      expiresAt: visitor?.expiresAt ?? null,
      role: visitor?.user.role ?? null,
      name: visitor?.user.name ?? null,
      via: visitor?.user.via ?? null,
      csrf: visitor?.csrf ?? null,
      mayChange: visitor !== null && whyNot === null,
      whyNot: whyNot === null ? null : { code: whyNot.code, message: whyNot.message },
      ways: [
        'key',
        ...(observe.trustedHeader === null ? [] : ['header']),
        ...(observe.oidcIssuer === null ? [] : ['oidc'])
      ],
      hasDevices: !isDeviceSignInOff(config),
      signOutUrl: visitor?.user.via === 'oidc' ? 'dashboard/oidc/sign-out' : null
    }
  }
}

function sendSession(request: IncomingMessage, response: ServerResponse, answer: object): void {
  const headers = { 'content-type': 'application/json; charset=utf-8', ...NOT_KEPT }
  answerEarly(request, response, { status: 200, headers, body: JSON.stringify(answer) })
}

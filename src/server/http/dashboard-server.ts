import type { IncomingMessage } from 'node:http'
import { endOfSession } from '../../dashboard/session.ts'
import { SignInTries } from '../../dashboard/sign-in-tries.ts'
import { invalidBody } from '../../dialects/plan/json-body.ts'
import { GatewayError } from '../../shared/errors.ts'
import { textMember } from '../../shared/json.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { PageParts } from './dashboard-routes.ts'
import { DevicePages } from './device-pages.ts'
import { signInByKey } from './key-sign-in.ts'
import { isDeviceSignInOff } from './oauth-routes.ts'
import { OidcPages } from './oidc-pages.ts'
import { isSecure, NOT_KEPT, refuseOtherSites, requireOwnPage } from './own-page.ts'
import { PageFiles } from './page-files.ts'
import type { Visitor } from './panel-users.ts'
import { passes } from './read-routes.ts'
import { type RoutedRequest, sendJson } from './router.ts'
import { readSmallBody } from './small-body.ts'

const MAX_BODY_BYTES = 4_096

export class DashboardServer {
  readonly #options: PageParts
  readonly #tries = new SignInTries()
  readonly #files = new PageFiles()
  readonly oidc: OidcPages
  readonly devices: DevicePages

  constructor(options: PageParts) {
    this.#options = options
    this.oidc = new OidcPages(options, this.#tries)
    this.devices = new DevicePages(options, this.#tries)
  }

  file(routed: RoutedRequest, name: string): Promise<void> {
    return this.#files.serve(routed, name)
  }

  session(routed: RoutedRequest): void {
    refuseOtherSites(routed.request.headers)
    this.#sendSession(routed, this.#options.users.find(routed.request))
  }

  /** @throws {GatewayError} GW_SIGN_IN_OFTEN, GW_KEY_INVALID, GW_OTHER_SITE, GW_BODY_INVALID */
  async signIn(routed: RoutedRequest): Promise<void> {
    const { request, response } = routed
    requireOwnPage(request.headers)
    const { current, users } = this.#options
    if (current.authenticator.isOpen) return this.#sendSession(routed, users.find(request))
    const limits = { maxBytes: MAX_BODY_BYTES, timeoutMs: current.config.server.bodyTimeoutMs }
    const key = textMember(await readSmallBody(request, limits), 'key')
    if (key === null) throw invalidBody('Send {"key": "<a key of this gateway>"}.')
    const session = await signInByKey(this.#options, this.#tries, { request, key })
    response.setHeader('set-cookie', session.cookie)
    this.#sendSession(routed, users.ofSession(request, session))
  }

  /** @throws {GatewayError} GW_OTHER_SITE, GW_PRIMARY_SILENT */
  async signOut({ request, response }: RoutedRequest): Promise<void> {
    requireOwnPage(request.headers)
    const session = this.#options.users.sessionOf(request)
    response.setHeader('set-cookie', endOfSession(isSecure(request.headers)))
    if (session !== null) await this.#options.endSession(session)
    answerEarly(request, response, { status: 204, headers: NOT_KEPT, body: '' })
  }

  /** @throws {GatewayError} as `PanelUsers.reader()`, GW_OPERATOR_ONLY, GW_DASHBOARD_FULL, GW_PRIMARY_SILENT */
  async events({ request, response }: RoutedRequest): Promise<void> {
    this.#requireOperator(request)
    this.#options.connections.vouch(request.socket, true)
    if (request.method === 'HEAD') {
      const type = { 'content-type': 'text/event-stream; charset=utf-8', ...NOT_KEPT }
      return answerEarly(request, response, { status: 200, headers: type, body: '' })
    }
    await this.#options.pages.open(response, () => this.#mayStay(request))
  }

  #requireOperator(request: IncomingMessage): void {
    const { user } = this.#options.users.reader(request)
    if (user.role !== 'operator') throw new GatewayError('GW_OPERATOR_ONLY')
  }

  #mayStay(request: IncomingMessage): boolean {
    const { dashboard } = this.#options.current.config.observe
    return dashboard !== 'off' && passes(() => this.#requireOperator(request))
  }

  #sendSession(routed: RoutedRequest, visitor: Visitor | null): void {
    const { current, users } = this.#options
    const { authenticator, config } = current
    const { observe } = config
    const whyNot = visitor === null ? null : users.whyNot(routed.request, visitor)
    const answer = {
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
    sendJson(routed, 200, answer, NOT_KEPT)
  }
}

import type { IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { endOfTrip, OidcTrips } from '../../dashboard/oidc-trip.ts'
import { oidcDigests, oidcSubject } from '../../dashboard/oidc-users.ts'
import type { Sessions } from '../../dashboard/session.ts'
import type { SignInTries } from '../../dashboard/sign-in-tries.ts'
import { readUserCode } from '../../devices/user-code.ts'
import type { OidcAnswer, OidcCall, OidcRefusal } from '../../ipc/oidc.ts'
import type { PrimaryPulse } from '../primary/primary-pulse.ts'
import { answerEarly } from '../turn/answer-early.ts'
import { turnedOff } from './dashboard-routes.ts'
import { baseUrlOf, clientAddress } from './own-page.ts'
import type { PanelSettings } from './panel-users.ts'
import type { RoutedRequest } from './router.ts'

export interface OidcPagesOptions {
  readonly sessions: Pick<Sessions, 'begin' | 'sealOf'>
  readonly tries: Pick<SignInTries, 'take' | 'succeeded'>
  readonly primary: Pick<PrimaryPulse, 'ask'>
  readonly current: PanelSettings
}

/** Delay of each try beyond an address's limit. */
const HOLD_MS = 1_000
const CALLBACK = '/dashboard/oidc/callback'

/**
 * Sends browsers to the identity provider and takes them back. They only ever go on to the provider that the
 * operator has set, to the panel, and to `/device`.
 */
export class OidcPages {
  readonly #options: OidcPagesOptions
  readonly #trips: OidcTrips

  constructor(options: OidcPagesOptions) {
    this.#options = options
    this.#trips = new OidcTrips(options.sessions)
  }

  /** @throws {GatewayError} GW_ROUTE_UNKNOWN without a provider, GW_PRIMARY_SILENT */
  async begin(routed: RoutedRequest): Promise<void> {
    const { base, isSecure } = this.#placeOf(routed)
    const device = readUserCode(queryIn(routed.request).get('device') ?? '') ?? ''
    const answer = await this.#ask({ name: 'begin', redirectUri: base + CALLBACK })
    if (answer.name !== 'begun')
      return goBack(routed, device, answer.name === 'refused' ? answer.reason : 'failed')
    const trip = { ...answer.checks, device }
    routed.response.setHeader('set-cookie', this.#trips.begin(trip, isSecure))
    goTo(routed, answer.url)
  }

  /** @throws {GatewayError} as `begin()` */
  async finish(routed: RoutedRequest): Promise<void> {
    const { request, response } = routed
    const { base, isSecure } = this.#placeOf(routed)
    const { tries, current, sessions } = this.#options
    response.setHeader('set-cookie', endOfTrip(isSecure))
    const trip = this.#trips.find(request.headers.cookie)
    const query = queryIn(request)
    if (trip === null || query.get('state') !== trip.state)
      return goBack(routed, trip?.device ?? '', 'stale')
    const { device, ...checks } = trip
    const address = clientAddress(request, current.config.server)
    const waitMs = tries.take(address)
    if (waitMs > 0) await delay(HOLD_MS)
    const url = `${base}${CALLBACK}?${query.toString()}`
    const answer = await this.#ask({ name: 'finish', url, checks, address })
    if (answer.name !== 'signed-in')
      return goBack(routed, device, answer.name === 'refused' ? answer.reason : 'failed')
    const subject = oidcSubject(answer)
    const [digest] = oidcDigests(answer, current.config.observe)
    if (subject === null || digest === undefined) return goBack(routed, device, 'failed')
    if (waitMs === 0) tries.succeeded(address)
    const { cookie } = sessions.begin(subject, digest, isSecure)
    response.setHeader('set-cookie', [endOfTrip(isSecure), cookie])
    goTo(routed, backTo(device, {}))
  }

  /** Goes on to the provider's page for signing out, if it has one. @throws {GatewayError} as `begin()` */
  async signOut(routed: RoutedRequest): Promise<void> {
    const { base } = this.#placeOf(routed)
    const answer = await this.#ask({ name: 'end', returnTo: base + PANEL_PATH })
    goTo(routed, answer.name === 'ended' && answer.url !== null ? answer.url : PANEL_PATH)
  }

  #ask(call: OidcCall): Promise<OidcAnswer> {
    return this.#options.primary.ask({ type: 'oidc.call', call })
  }

  #placeOf(routed: RoutedRequest): { readonly base: string; readonly isSecure: boolean } {
    const { config } = this.#options.current
    if (config.observe.oidcIssuer === null) throw turnedOff(routed, 'no DASHBOARD_OIDC_ISSUER')
    const base = baseUrlOf(routed.request, config.server)
    return { base, isSecure: base.startsWith('https://') }
  }
}

const PANEL_PATH = '/'

function queryIn({ url = '' }: IncomingMessage): URLSearchParams {
  const at = url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : url.slice(at))
}

function goBack(routed: RoutedRequest, device: string, reason: OidcRefusal): void {
  goTo(routed, backTo(device, { 'sign-in': reason }))
}

/** The panel or, for a sign-in that was begun there, the page of a device. */
function backTo(device: string, query: Readonly<Record<string, string>>): string {
  const all = new URLSearchParams({ ...(device !== '' && { user_code: device }), ...query })
  const path = device === '' ? PANEL_PATH : '/device'
  return all.size === 0 ? path : `${path}?${all.toString()}`
}

/** The browser forgets the address that it comes from, which may have a code. */
function goTo({ request, response }: RoutedRequest, location: string): void {
  const headers = { location, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' }
  answerEarly(request, response, { status: 303, headers, body: '' })
}

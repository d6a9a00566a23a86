import type { IncomingMessage } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { endOfTrip, OidcTrips } from '../../dashboard/oidc-trip.ts'
import { oidcDigests, oidcSubject } from '../../dashboard/oidc-users.ts'
import type { SignInTries } from '../../dashboard/sign-in-tries.ts'
import { readUserCode } from '../../devices/user-code.ts'
import type { OidcAnswer, OidcCall, OidcRefusal } from '../../ipc/oidc.ts'
import { networkOf } from '../../shared/network.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { PageParts } from './dashboard-routes.ts'
import { baseUrlOf, clientAddress, prefixOf } from './own-page.ts'
import { type RoutedRequest, routeUnknown } from './router.ts'

/** Delay of each try beyond an address's limit. */
const HOLD_MS = 1_000
/** Answers of the provider that one network may have looked at together, so that it takes no others' turn. */
const MAX_UNDER_WAY = 4
const CALLBACK = '/dashboard/oidc/callback'

/**
 * Sends browsers to the identity provider and takes them back. They only ever go on to the provider that the
 * operator has set, to the panel, and to `/device`.
 */
export class OidcPages {
  readonly #options: PageParts
  readonly #tries: SignInTries
  readonly #trips: OidcTrips
  /** By network. Bounded by the connections of clients. */
  readonly #underWay = new Map<string, number>()

  constructor(options: PageParts, tries: SignInTries) {
    this.#options = options
    this.#tries = tries
    this.#trips = new OidcTrips(options.sessions)
  }

  /** @throws {GatewayError} GW_ROUTE_UNKNOWN without a provider, GW_PRIMARY_SILENT */
  async begin(routed: RoutedRequest): Promise<void> {
    const { base, panel, isSecure } = this.#placeOf(routed)
    const device = readUserCode(queryIn(routed.request).get('device') ?? '') ?? ''
    const answer = await this.#ask({ name: 'begin', redirectUri: base + CALLBACK })
    const from = { panel, device }
    if (answer.name !== 'begun') return goBack(routed, from, reasonOf(answer))
    const trip = { ...answer.checks, device }
    routed.response.setHeader('set-cookie', this.#trips.begin(trip, isSecure))
    goTo(routed, answer.url)
  }

  /** @throws {GatewayError} as `begin()` */
  async finish(routed: RoutedRequest): Promise<void> {
    const { request, response } = routed
    const { base, panel, isSecure } = this.#placeOf(routed)
    const { current, sessions } = this.#options
    response.setHeader('set-cookie', endOfTrip(isSecure))
    const trip = this.#trips.find(request.headers.cookie)
    const query = queryIn(request)
    if (trip === null || query.get('state') !== trip.state)
      return goBack(routed, { panel, device: trip?.device ?? '' }, 'stale')
    const { device, ...checks } = trip
    const from = { panel, device }
    const address = clientAddress(request, current.config.server)
    const network = networkOf(address)
    const underWay = this.#underWay.get(network) ?? 0
    if (underWay >= MAX_UNDER_WAY) return goBack(routed, from, 'often')
    this.#underWay.set(network, underWay + 1)
    const waitMs = this.#tries.take(address)
    const url = `${base}${CALLBACK}?${query.toString()}`
    const call = { name: 'finish', url, checks, address } as const
    const answer = await this.#finish(call, waitMs > 0).finally(() => this.#leave(network))
    if (answer.name !== 'signed-in') return goBack(routed, from, reasonOf(answer))
    const subject = oidcSubject(answer)
    const [digest] = oidcDigests(answer, current.config.observe)
    if (subject === null || digest === undefined) return goBack(routed, from, 'failed')
    if (waitMs === 0) this.#tries.succeeded(address)
    const { cookie } = sessions.begin(subject, digest, isSecure)
    response.setHeader('set-cookie', [endOfTrip(isSecure), cookie])
    goTo(routed, backTo(from, {}))
  }

  /** Goes on to the provider's page for signing out, if it has one. @throws {GatewayError} as `begin()` */
  async signOut(routed: RoutedRequest): Promise<void> {
    const { base, panel } = this.#placeOf(routed)
    const answer = await this.#ask({ name: 'end', returnTo: `${base}/` })
    goTo(routed, answer.name === 'ended' && answer.url !== null ? answer.url : panel)
  }

  #ask(call: OidcCall): Promise<OidcAnswer> {
    return this.#options.primary.ask({ type: 'oidc.call', call })
  }

  async #finish(call: OidcCall, isHeld: boolean): Promise<OidcAnswer> {
    if (isHeld) await delay(HOLD_MS)
    return this.#ask(call)
  }

  #leave(network: string): void {
    const left = (this.#underWay.get(network) ?? 0) - 1
    if (left > 0) this.#underWay.set(network, left)
    else this.#underWay.delete(network)
  }

  /** Address at which the browser reaches the gateway, without a slash at its end, and path of the panel there. */
  #placeOf(routed: RoutedRequest) {
    const { config } = this.#options.current
    if (config.observe.oidcIssuer === null)
      throw routeUnknown(routed.request, 'no DASHBOARD_OIDC_ISSUER')
    const base = baseUrlOf(routed.request, config.server)
    const panel = `${prefixOf(routed.request, config.server)}/`
    return { base, panel, isSecure: base.startsWith('https://') }
  }
}

function queryIn({ url = '' }: IncomingMessage): URLSearchParams {
  const at = url.indexOf('?')
  return new URLSearchParams(at < 0 ? '' : url.slice(at))
}

/** Page on which a sign-in was begun: the panel, or that of a device with its code. */
interface Beginning {
  readonly panel: string
  readonly device: string
}

function reasonOf(answer: OidcAnswer): OidcRefusal {
  return answer.name === 'refused' ? answer.reason : 'failed'
}

function goBack(routed: RoutedRequest, from: Beginning, reason: OidcRefusal): void {
  goTo(routed, backTo(from, { 'sign-in': reason }))
}

function backTo({ panel, device }: Beginning, query: Readonly<Record<string, string>>): string {
  const all = new URLSearchParams({ ...(device !== '' && { user_code: device }), ...query })
  const path = device === '' ? panel : `${panel}device`
  return all.size === 0 ? path : `${path}?${all.toString()}`
}

/** The browser forgets the address that it comes from, which may have a code. */
function goTo({ request, response }: RoutedRequest, location: string): void {
  const headers = { location, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' }
  answerEarly(request, response, { status: 303, headers, body: '' })
}

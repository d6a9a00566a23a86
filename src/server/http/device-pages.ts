import { createHash } from 'node:crypto'
import { endOfSession, isSameToken, type Session } from '../../dashboard/session.ts'
import type { SignInTries } from '../../dashboard/sign-in-tries.ts'
import { readUserCode, showUserCode } from '../../devices/user-code.ts'
import {
  type ApprovedKey,
  DEVICE_REFUSALS,
  type DeviceAnswer,
  type DeviceCall,
  type DeviceUser,
  type PendingDevice
} from '../../ipc/devices.ts'
import { whyRefused } from '../../keys/key.ts'
import { asGatewayError, GatewayError } from '../../shared/errors.ts'
import type { JsonObject } from '../../shared/json.ts'
import { loadOnce } from '../../shared/single-flight.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { PageParts } from './dashboard-routes.ts'
import { browserCookie, browserOf, type FormPlace, formTokenOf } from './device-forms.ts'
import {
  againView,
  type Decision,
  type DeviceView,
  enterView,
  type FormProblem,
  type NewKeyFields,
  NO_FIELDS,
  oneClickView,
  operatorView,
  type DeviceOutcome,
  outcomeView,
  pageOf,
  signInView,
  waitView
} from './device-views.ts'
import { signInByKey } from './key-sign-in.ts'
import {
  baseUrlOf,
  clientAddress,
  isSafeWay,
  isSecure,
  refuseOtherSites,
  requireOwnPage
} from './own-page.ts'
import { pageFileText } from './page-files.ts'
import type { Visitor } from './panel-users.ts'
import type { RoutedRequest } from './router.ts'
import { readSmallForm } from './small-body.ts'

const MAX_FORM_BYTES = 8_192

/** A request for the page, with what is known of its browser and user. */
interface Visit {
  readonly routed: RoutedRequest
  readonly browser: string
  readonly visitor: Visitor | null
  readonly session: Session | null
}

interface Shown {
  readonly status: number
  readonly view: DeviceView
  readonly cookies?: readonly string[]
}

/** An answer that is a page of its own, or leads to one. */
type Reply = Shown | { readonly location: string; readonly cookies?: readonly string[] }

/**
 * The page `/device`, on which a person decides about a device that waits (RFC 8628 §3.3): a form for the code, then who
 * asks, then the decision. Nothing is looked up or decided by an address alone.
 */
export class DevicePages {
  readonly #options: PageParts
  readonly #tries: SignInTries
  readonly #style = loadOnce(readStyle)

  constructor(options: PageParts, tries: SignInTries) {
    this.#options = options
    this.#tries = tries
  }

  show(routed: RoutedRequest): Promise<void> {
    return this.#serve(routed, (visit) => this.#show(visit))
  }

  act(routed: RoutedRequest): Promise<void> {
    return this.#serve(routed, async (visit) => {
      const { request } = routed
      const { server } = this.#options.current.config
      requireOwnPage(request.headers)
      if (!isSafeWay(request, server)) throw new GatewayError('GW_TLS_REQUIRED')
      const limits = { maxBytes: MAX_FORM_BYTES, timeoutMs: server.bodyTimeoutMs }
      return this.#act(visit, await readSmallForm(request, limits))
    })
  }

  async #serve(routed: RoutedRequest, reply: (visit: Visit) => Promise<Reply>): Promise<void> {
    const browser = browserOf(routed.request.headers.cookie)
    const { users } = this.#options
    let done: Reply
    try {
      const visitor = users.find(routed.request)
      const session = visitor === null ? null : users.sessionOf(routed.request)
      done = await reply({ routed, browser, visitor, session })
    } catch (cause) {
      const error = asGatewayError(cause)
      if (error.code === 'GW_INTERNAL' || error.code === 'GW_CLIENT_CLOSED') throw cause
      done = { status: error.status, view: outcomeView(refusedOutcome(error)) }
    }
    await this.#send(routed, browser, done)
  }

  async #show({ routed, browser, visitor, session }: Visit): Promise<Reply> {
    const { request } = routed
    const query = new URLSearchParams((request.url ?? '').split('?', 2)[1] ?? '')
    const code = readUserCode(query.get('user_code') ?? '')
    const shown = code === null ? '' : showUserCode(code)
    const { 'sec-fetch-site': site = 'none' } = request.headers
    if (visitor === null && site !== 'none' && site !== 'same-origin')
      return { status: 200, view: againView(shown) }
    // The way back after a sign-in here, with the token of a form that was sent.
    if (code !== null && query.has('form')) {
      refuseOtherSites(request.headers)
      const visit = { routed, browser, visitor, session }
      if (isSameToken(query.get('form'), this.#tokenOf(placeOf(visit, code))))
        return this.#look(visit, code)
    }
    const failed = query.get('sign-in')
    const wrong = failed === null ? null : problem(OIDC_REASONS.get(failed) ?? OIDC_FAILED)
    return { status: 200, view: this.#enter(browser, shown, wrong) }
  }

  /** Does what a form says, if it was shown to this browser and user. */
  async #act(visit: Visit, form: URLSearchParams): Promise<Reply> {
    const { browser } = visit
    const [step = '', typed = ''] = ['step', 'user_code'].map((name) => form.get(name) ?? '')
    const code = readUserCode(typed)
    const place = step === 'look' ? placeOf(visit, '') : placeOf(visit, code ?? '')
    if (!isSameToken(form.get('form'), this.#tokenOf(place)))
      return { status: 403, view: this.#enter(browser, typed, problem(STALE)) }
    if (code === null) {
      const wrong = problem(NO_CODE, 'user_code')
      return { status: 400, view: this.#enter(browser, typed.slice(0, MAX_SHOWN_CHARS), wrong) }
    }
    switch (step) {
      case 'look':
        return this.#look(visit, code)
      case 'sign-in':
        return this.#signIn(visit, code, form.get('key') ?? '')
      case 'sign-out':
        return this.#signOut(visit, code)
      case 'deny':
        return this.#deny(visit, code)
      case 'approve':
        return this.#approve(visit, code, { key: form.get('key') ?? '' })
      case 'approve-new':
        return this.#approve(visit, code, { new: newKeyIn(form) })
      default:
        return { status: 400, view: this.#enter(browser, showUserCode(code), problem(STALE)) }
    }
  }

  /** Shows who asks, and what this user may do about it. */
  #look(visit: Visit, code: string): Promise<Shown> {
    return this.#shown(visit, code, (device) => ({
      status: 200,
      view: this.#decision(visit, device)
    }))
  }

  /** Shows the device that waits, or the page that says that none does. */
  async #shown(visit: Visit, code: string, show: (device: PendingDevice) => Shown): Promise<Shown> {
    const { browser, routed } = visit
    const shown = showUserCode(code)
    const address = clientAddress(routed.request, this.#options.current.config.server)
    const answer = await this.#ask({ name: 'find', code, address })
    if (answer.name === 'often') {
      const text = `Too many wrong codes. Wait ${secondsOf(answer.waitMs)} before trying again.`
      return { status: 429, view: this.#enter(browser, shown, problem(text)) }
    }
    if (answer.name !== 'found') throw unexpected(answer)
    const { device } = answer
    if (device === null) {
      const wrong = problem(DEVICE_REFUSALS.unknown, 'user_code')
      return { status: 404, view: this.#enter(browser, shown, wrong) }
    }
    if (device.state !== 'waiting') return { status: 409, view: decidedView(device.state) }
    return show(device)
  }

  #decision(
    visit: Visit,
    device: PendingDevice,
    wrong: FormProblem | null = null,
    given: NewKeyFields = NO_FIELDS
  ): DeviceView {
    const { visitor } = visit
    const { current } = this.#options
    const { authenticator, config, knownKeys } = current
    const code = readUserCode(device.code) ?? ''
    const token = this.#tokenOf(placeOf(visit, code))
    if (visitor === null) {
      const hasPanel = config.observe.dashboard !== 'off'
      const ways = {
        hasKeys: authenticator.hasKeys,
        hasOidc: hasPanel && config.observe.oidcIssuer !== null
      }
      return signInView(device.code, ways, { token, problem: wrong })
    }
    const { user } = visitor
    const who = {
      name: user.via === 'open' ? 'the user of this machine' : user.name,
      address: user.address,
      canSignOut: visit.session !== null
    }
    const decision: Decision = { device, who, token, problem: wrong, now: Date.now() }
    if (user.via === 'open') return oneClickView(decision, null)
    if (user.role === 'operator') {
      const refusal = this.#options.users.whyNot(visit.routed.request, visitor)
      if (refusal !== null) throw refusal
      const now = Date.now()
      const keys = knownKeys.keys.filter((key) => whyRefused(key, now) === null)
      const sorted = keys.toSorted((one, other) => one.name.localeCompare(other.name))
      return operatorView(decision, sorted, given)
    }
    if (config.devices.signIn === 'self') return oneClickView(decision, user.name)
    return waitView(decision)
  }

  async #signIn(visit: Visit, code: string, key: string): Promise<Reply> {
    const { routed, browser } = visit
    let session: Session & { readonly cookie: string }
    try {
      session = await signInByKey(this.#options, this.#tries, { request: routed.request, key })
    } catch (cause) {
      const error = asGatewayError(cause)
      if (!KEY_PROBLEMS.has(error.code)) throw cause
      const wait =
        error.retryAfterS === undefined ? '' : ` Try again in ${error.retryAfterS} seconds.`
      const wrong = problem(`${error.message}${wait}`, 'key')
      return this.#shown(visit, code, (device) => {
        return { status: error.status, view: this.#decision(visit, device, wrong) }
      })
    }
    // Loaded again by GET, so that no reload of the page sends the key once more.
    const form = this.#tokenOf({ browser, user: session.csrf, code })
    const query = new URLSearchParams({ user_code: showUserCode(code), form })
    return { location: `?${query.toString()}`, cookies: [session.cookie] }
  }

  async #signOut({ routed, session }: Visit, code: string): Promise<Reply> {
    if (session !== null) await this.#options.endSession(session)
    const query = new URLSearchParams({ user_code: showUserCode(code) })
    const cookies = endOfSession(isSecure(routed.request.headers))
    return { location: `?${query.toString()}`, cookies }
  }

  async #approve(visit: Visit, code: string, choice: Choice): Promise<Reply> {
    const { visitor, routed } = visit
    if (visitor === null) return this.#look(visit, code)
    const { user } = visitor
    if (user.role !== 'operator' || user.via === 'open') {
      const grant: ApprovedKey = user.key === null ? { open: true } : { key: user.key }
      const by = byOf(visit, visitor)
      return this.#decided(visit, code, await this.#ask({ name: 'approve', code, grant, by }))
    }
    const refusal = this.#options.users.whyNot(routed.request, visitor)
    if (refusal !== null) throw refusal
    const answer = await this.#options.primary.ask({
      type: 'panel.call',
      call: {
        action: 'devices.approve',
        user,
        params: {},
        query: {},
        body: { code, ...('new' in choice ? { new: toApiKey(choice.new) } : choice) },
        ifMatch: null,
        baseUrl: baseUrlOf(routed.request, this.#options.current.config.server)
      }
    })
    if (answer.name === 'answer') return { status: 200, view: outcomeView(APPROVED) }
    return this.#notApproved(visit, code, GatewayError.ofData(answer.error), choice)
  }

  /** A wrong choice can be corrected, as long as the code waits. */
  #notApproved(visit: Visit, code: string, error: GatewayError, choice: Choice): Promise<Reply> {
    if (!CHOICE_PROBLEMS.has(error.code)) throw error
    const wrong = problem(error.message, error.param)
    const given = 'new' in choice ? choice.new : NO_FIELDS
    return this.#shown(visit, code, (device) => {
      return { status: error.status, view: this.#decision(visit, device, wrong, given) }
    })
  }

  async #deny(visit: Visit, code: string): Promise<Reply> {
    const { visitor } = visit
    if (visitor === null) return this.#look(visit, code)
    const isOperator = visitor.user.role === 'operator'
    const { users } = this.#options
    const refusal = isOperator ? users.whyNot(visit.routed.request, visitor) : null
    if (refusal !== null) throw refusal
    const by = byOf(visit, visitor)
    return this.#decided(visit, code, await this.#ask({ name: 'deny', code, by }))
  }

  #decided({ browser }: Visit, code: string, answer: DeviceAnswer): Reply {
    if (answer.name === 'decided') {
      const view = outcomeView(answer.device.state === 'approved' ? APPROVED : DENIED)
      return { status: 200, view }
    }
    if (answer.name !== 'refused') throw unexpected(answer)
    const { why } = answer
    if (why === 'approved' || why === 'denied') return { status: 409, view: decidedView(why) }
    const status = why === 'unknown' ? 404 : 403
    const wrong = problem(DEVICE_REFUSALS[why])
    return { status, view: this.#enter(browser, showUserCode(code), wrong) }
  }

  #enter(browser: string, code: string, wrong: FormProblem | null = null): DeviceView {
    const token = this.#tokenOf({ browser, user: '', code: '' })
    return enterView(code, { token, problem: wrong })
  }

  /** @throws {GatewayError} GW_PRIMARY_SILENT */
  #ask(call: DeviceCall): Promise<DeviceAnswer> {
    return this.#options.primary.ask({ type: 'device.call', call })
  }

  #tokenOf(place: FormPlace): string {
    return formTokenOf(this.#options.sessions, place)
  }

  async #send({ request, response }: RoutedRequest, browser: string, reply: Reply): Promise<void> {
    const { config } = this.#options.current
    const isHttps = baseUrlOf(request, config.server).startsWith('https://')
    const own = browserCookie(browser, isHttps)
    response.setHeader('set-cookie', [own, ...(reply.cookies ?? [])])
    if ('location' in reply) {
      const headers = { ...HEADERS, location: reply.location }
      return answerEarly(request, response, { status: 303, headers, body: '' })
    }
    const { text, policy } = await this.#style()
    const headers = {
      ...HEADERS,
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': policy
    }
    const body = pageOf(reply.view, text)
    answerEarly(request, response, { status: reply.status, headers, body })
  }
}

/** With `no-referrer`, browsers would not say where a form comes from. */
const HEADERS = {
  'cache-control': 'no-store',
  'referrer-policy': 'same-origin',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-content-type-options': 'nosniff'
} as const

/** The policy allows this style sheet, forms to the gateway, and nothing else. */
async function readStyle() {
  const texts = await Promise.all([pageFileText('theme.css'), pageFileText('device.css')])
  const text = texts.join('\n')
  const hash = createHash('sha256').update(text).digest('base64')
  const rules = [
    "default-src 'none'",
    `style-src 'sha256-${hash}'`,
    'img-src data:',
    "form-action 'self'",
    "base-uri 'none'",
    "frame-ancestors 'none'"
  ]
  return { text, policy: rules.join('; ') }
}

/** Key that an operator has chosen: its id, or what a new one is to be. */
type Choice = { readonly key: string } | { readonly new: NewKeyFields }

function newKeyIn(form: URLSearchParams): NewKeyFields {
  const textOf = (name: string): string => (form.get(name) ?? '').trim()
  return { name: textOf('name'), limit: textOf('limit'), period: textOf('period') }
}

function toApiKey({ name, limit, period }: NewKeyFields): JsonObject {
  return { name, credits: limit === '' ? null : `${limit}/${period}` }
}

function placeOf({ browser, visitor }: Visit, code: string): FormPlace {
  // The form for the code is the same for all: a user may sign in beside it.
  return { browser, user: code === '' ? '' : (visitor?.csrf ?? ''), code }
}

/** The sign-in of a person's device ends with the key that they have entered. */
function byOf({ session }: Visit, { user }: Visitor): DeviceUser {
  const isPerson = user.role === 'person' && session !== null
  return isPerson ? { ...user, proof: session.digest.toString('hex') } : user
}

function problem(message: string, field = ''): FormProblem {
  return { message, field }
}

function secondsOf(ms: number): string {
  const seconds = Math.max(1, Math.ceil(ms / 1000))
  return seconds === 1 ? '1 second' : `${seconds} seconds`
}

const MAX_SHOWN_CHARS = 40

const STALE =
  'This form does not belong to your sign-in any more: it is too old, or was opened in another browser. Enter the code again.'
const NO_CODE =
  'This is not a code. A code has 8 letters, without vowels and without digits, such as BCDF-GHJK.'

/** Why a sign-in with an organisation has failed. */
const OIDC_REASONS: ReadonlyMap<string, string> = new Map([
  ['denied', 'The sign-in was refused or cancelled at your organisation.'],
  [
    'not-allowed',
    'Your account may not operate this gateway. Ask its operator to add you, or use your own key.'
  ],
  [
    'unverified',
    'Your organisation has not verified your e-mail address, so it does not count. Use a key.'
  ]
])
const OIDC_FAILED =
  'The sign-in with your organisation did not succeed. Try again, or use a key. The gateway’s log says why.'

const APPROVED: DeviceOutcome = {
  title: 'Approved',
  message: 'The device is approved. It is signed in within a few seconds.',
  next: 'You can close this page. Operators find the device in the panel under Keys, and can sign it out there.',
  isGood: true
}

const DENIED: DeviceOutcome = {
  title: 'Denied',
  message: 'The device is denied. It gets no access.',
  next: 'You can close this page.',
  isGood: true
}

function decidedView(why: 'approved' | 'denied'): DeviceView {
  const title = why === 'approved' ? 'Already approved' : 'Already denied'
  const next = 'A code is decided once.'
  return outcomeView({ title, message: DEVICE_REFUSALS[why], next, isGood: false })
}

function refusedOutcome(error: GatewayError): DeviceOutcome {
  const isSilent = error.code === 'GW_PRIMARY_SILENT'
  return {
    title: isSilent ? 'No answer' : 'Not done',
    message: isSilent ? SILENT : error.message,
    next: isSilent
      ? 'Look at the device: if it is not signed in within a minute, enter the code again.'
      : 'Nothing was changed.',
    isGood: false
  }
}

const SILENT =
  'The gateway has not confirmed this, so it is unknown whether the sign-in was approved or denied.'

/** The state cannot be kept now; nothing else fits no step of the page. */
function unexpected(answer: DeviceAnswer): GatewayError {
  if (answer.name !== 'unavailable') return new GatewayError('GW_INTERNAL', answer.name)
  return new GatewayError('GW_NOT_READY', undefined, { message: answer.message })
}

const KEY_PROBLEMS: ReadonlySet<string> = new Set([
  'GW_KEY_INVALID',
  'GW_KEY_EXPIRED',
  'GW_KEY_REVOKED',
  'GW_SIGN_IN_OFTEN'
])

const CHOICE_PROBLEMS: ReadonlySet<string> = new Set([
  'GW_FIELD_INVALID',
  'GW_CONFLICT',
  'GW_NOT_FOUND'
])

import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { setTimeout as delay } from 'node:timers/promises'
import { endOfSession, type Session, Sessions } from '../../dashboard/session.ts'
import { SignInTries } from '../../dashboard/sign-in-tries.ts'
import { GatewayError } from '../../shared/errors.ts'
import { parseJsonObject, textMember } from '../../shared/json.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { DashboardOptions } from './dashboard-routes.ts'
import { PageFiles } from './page-files.ts'
import type { RoutedRequest } from './router.ts'

const MAX_BODY_BYTES = 4_096
const BODY_TIMEOUT_MS = 10_000
/**
 * Delay of each try beyond an address's limit, right key or wrong. All people behind a proxy share an
 * address, so a right key is accepted anyway; a connection can try one key a second.
 */
const HOLD_MS = 1_000

export class DashboardServer {
  readonly #options: DashboardOptions
  readonly #sessions: Sessions
  readonly #tries = new SignInTries()
  readonly #files = new PageFiles()

  constructor(options: DashboardOptions) {
    this.#options = options
    this.#sessions = new Sessions(options.sessionSecret)
  }

  file(routed: RoutedRequest, name: string): Promise<void> {
    return this.#files.serve(routed, name)
  }

  session({ request, response }: RoutedRequest): void {
    refuseOtherSites(request.headers)
    const { authenticator } = this.#options.current
    if (authenticator.isOpen) authenticator.check(request.headers)
    const session = this.#find(request.headers)
    sendSession(request, response, {
      isKeyNeeded: !authenticator.isOpen,
      isSignedIn: authenticator.isOpen || session !== null,
      canSignIn: authenticator.operatorDigests.length > 0,
      expiresAt: session?.expiresAt ?? null
    })
  }

  /** @throws {GatewayError} GW_SIGN_IN_OFTEN, GW_KEY_INVALID, GW_OPERATOR_ONLY, GW_OTHER_SITE, GW_BODY_INVALID */
  async signIn({ request, response }: RoutedRequest): Promise<void> {
    requireOwnPage(request.headers)
    const { current } = this.#options
    if (current.authenticator.isOpen) {
      current.authenticator.check(request.headers)
      return sendSession(request, response, { isSignedIn: true, expiresAt: null })
    }
    const { bodyTimeoutMs } = current.config.server
    const timeoutMs = Math.min(BODY_TIMEOUT_MS, bodyTimeoutMs)
    const key = textMember(await readSmallBody(request, timeoutMs), 'key')
    if (key === null) throw badBody('Send {"key": "<a key of PROXY_API_KEY>"}.')
    const address = request.socket.remoteAddress ?? ''
    const waitMs = this.#tries.take(address)
    if (waitMs > 0) await delay(HOLD_MS)
    const digest = current.authenticator.operatorDigestOf(key) // which may have changed meanwhile
    if (digest === null) {
      if (waitMs > 0) throw tooOften(address, waitMs)
      current.authenticator.checkOperator({ 'x-api-key': key }) // or says what is wrong with it
      throw new GatewayError('GW_OPERATOR_ONLY')
    }
    if (waitMs === 0) this.#tries.succeeded(address)
    const { cookie, expiresAt } = this.#sessions.begin(digest, isSecure(request.headers))
    response.setHeader('set-cookie', cookie)
    sendSession(request, response, { isSignedIn: true, expiresAt })
  }

  signOut({ request, response }: RoutedRequest): void {
    requireOwnPage(request.headers)
    response.setHeader('set-cookie', endOfSession(isSecure(request.headers)))
    answerEarly(request, response, { status: 204, headers: NOT_KEPT, body: '' })
  }

  /** @throws {GatewayError} as `check()`, GW_DASHBOARD_FULL, GW_PRIMARY_SILENT */
  async events({ request, response }: RoutedRequest): Promise<void> {
    const { headers, method } = request
    refuseOtherSites(headers)
    this.#requireSession(headers)
    this.#options.connections.vouch(request.socket)
    if (method === 'HEAD') {
      const type = { 'content-type': 'text/event-stream; charset=utf-8', ...NOT_KEPT }
      return answerEarly(request, response, { status: 200, headers: type, body: '' })
    }
    await this.#options.pages.open(response, () => this.#mayStay(headers))
  }

  #find({ cookie }: IncomingHttpHeaders): Session | null {
    return this.#sessions.find(cookie, this.#options.current.authenticator.operatorDigests)
  }

  #requireSession(headers: IncomingHttpHeaders): void {
    const { authenticator } = this.#options.current
    if (!authenticator.isOpen && this.#find(headers) !== null) return
    const hasKey = headers.authorization !== undefined || headers['x-api-key'] !== undefined
    if (!authenticator.isOpen && !hasKey) {
      throw new GatewayError('GW_KEY_MISSING', undefined, SIGN_IN_FIRST)
    }
    authenticator.checkOperator(headers)
  }

  #mayStay(headers: IncomingHttpHeaders): boolean {
    if (this.#options.current.config.observe.dashboard === 'off') return false
    try {
      this.#requireSession(headers)
      return true
    } catch {
      return false
    }
  }
}

const SIGN_IN_FIRST = {
  message: 'You are not signed in. Open the page at / and sign in.'
}

const NOT_KEPT = { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' } as const

function sendSession(request: IncomingMessage, response: ServerResponse, answer: object): void {
  const headers = { 'content-type': 'application/json; charset=utf-8', ...NOT_KEPT }
  answerEarly(request, response, { status: 200, headers, body: JSON.stringify(answer) })
}

/**
 * Accepts our page, typed addresses, and programs, which do not say where they come from.
 * @throws {GatewayError} GW_OTHER_SITE
 */
function refuseOtherSites({ 'sec-fetch-site': site = 'none' }: IncomingHttpHeaders): void {
  if (site !== 'same-origin' && site !== 'none') throw new GatewayError('GW_OTHER_SITE')
}

/**
 * Trusts a browser's `sec-fetch-site`, as a proxy may have changed the host name; without it the page's
 * address must be the called one.
 * @throws {GatewayError} GW_OTHER_SITE
 */
function requireOwnPage(headers: IncomingHttpHeaders): void {
  const { 'sec-fetch-site': site, origin, host } = headers
  if (site !== undefined) {
    if (site !== 'same-origin') throw new GatewayError('GW_OTHER_SITE')
    return
  }
  if (origin !== undefined && URL.parse(origin)?.host !== host?.toLowerCase()) {
    throw new GatewayError('GW_OTHER_SITE')
  }
}

/** The browser's origin tells https, whatever lies between. */
function isSecure({ origin = '' }: IncomingHttpHeaders): boolean {
  return origin.startsWith('https://')
}

/** @throws {GatewayError} GW_BODY_INVALID, GW_BODY_ENCODED, GW_BODY_TOO_LARGE, GW_BODY_TIMEOUT, GW_CLIENT_CLOSED */
async function readSmallBody(request: IncomingMessage, timeoutMs: number) {
  const { 'content-type': type = '', 'content-encoding': encoding } = request.headers
  // Forms of other sites cannot send this type without asking first.
  if (!/^application\/json\s*(;|$)/i.test(type)) throw badBody('Send it as application/json.')
  if (encoding !== undefined) throw new GatewayError('GW_BODY_ENCODED')
  const chunks: Buffer[] = []
  let bytes = 0
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const onData = (chunk: Buffer): void => {
    bytes += chunk.byteLength
    if (bytes <= MAX_BODY_BYTES) chunks.push(chunk)
    else reject(new GatewayError('GW_BODY_TOO_LARGE', undefined, TOO_LARGE))
  }
  const onGone = (): void => reject(new GatewayError('GW_CLIENT_CLOSED'))
  // The connection stays: it has to carry the answer.
  const timer = setTimeout(() => reject(new GatewayError('GW_BODY_TIMEOUT')), timeoutMs)
  request.on('data', onData).once('end', resolve).once('error', onGone).once('close', onGone)
  try {
    await promise
  } finally {
    clearTimeout(timer)
    request.off('data', onData).off('end', resolve).off('error', onGone).off('close', onGone)
  }
  const body = parseJsonObject(Buffer.concat(chunks).toString())
  if (body === null) throw badBody('The body is not a JSON object.')
  return body
}

const TOO_LARGE = { message: `The body may have at most ${MAX_BODY_BYTES} bytes.` }

function tooOften(address: string, waitMs: number): GatewayError {
  return new GatewayError('GW_SIGN_IN_OFTEN', address, { retryAfterS: Math.ceil(waitMs / 1000) })
}

function badBody(message: string): GatewayError {
  return new GatewayError('GW_BODY_INVALID', undefined, { message })
}

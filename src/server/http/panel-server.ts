import {
  PANEL_ACTIONS,
  type PanelAction,
  type PanelAnswer,
  type PanelCall,
  PERSONAL_ACTIONS
} from '../../ipc/panel.ts'
import { asGatewayError, GatewayError } from '../../shared/errors.ts'
import type { JsonObject } from '../../shared/json.ts'
import { answerEarly, KNOWN, STRANGER } from '../turn/answer-early.ts'
import type { PageParts } from './dashboard-routes.ts'
import { baseUrlOf, NOT_KEPT } from './own-page.ts'
import type { Visitor } from './panel-users.ts'
import { type RoutedRequest, shownPathOf } from './router.ts'
import { readSmallBody } from './small-body.ts'

const MAX_BODY_BYTES = 16 * 1024
const MAX_QUERY_CHARS = 4_096

/** Finds out who asks, whether they may, and what; the primary does it. */
export class PanelServer {
  readonly #options: PageParts

  constructor(options: PageParts) {
    this.#options = options
  }

  async serve(action: PanelAction, routed: RoutedRequest): Promise<void> {
    let isKnown = false
    try {
      const { user } = this.#admit(action, routed)
      isKnown = true
      this.#options.connections.vouch(routed.request.socket)
      const call = await this.#callOf(action, user, routed)
      const answer = await this.#options.primary.ask({ type: 'panel.call', call })
      if (hasMore(answer) && routed.request.method !== 'HEAD')
        await this.#sendAll(routed, call, answer)
      else send(routed, answer)
    } catch (cause) {
      this.#refuse(routed, cause, isKnown)
    }
  }

  /** @throws {GatewayError} as `PanelUsers.reader()` and `changer()`, GW_OPERATOR_ONLY */
  #admit(action: PanelAction, { request }: RoutedRequest): Visitor {
    const { users } = this.#options
    if (PANEL_ACTIONS[action][0] === 'POST') return users.changer(request)
    const visitor = users.reader(request)
    if (visitor.user.role !== 'operator' && !PERSONAL_ACTIONS.has(action))
      throw new GatewayError('GW_OPERATOR_ONLY', undefined, NOT_YOURS)
    return visitor
  }

  async #callOf(
    action: PanelAction,
    user: PanelCall['user'],
    { request, params }: RoutedRequest
  ): Promise<PanelCall> {
    const { server } = this.#options.current.config
    const limits = { maxBytes: MAX_BODY_BYTES, timeoutMs: server.bodyTimeoutMs }
    const isChange = PANEL_ACTIONS[action][0] === 'POST'
    return {
      action,
      user,
      params,
      query: queryOf(request.url ?? ''),
      body: isChange ? await readSmallBody(request, limits) : {},
      ifMatch: request.headers['if-match'] ?? null,
      baseUrl: baseUrlOf(request, server)
    }
  }

  /** Asks for each part when the client has taken the one before. A broken answer has no end. */
  async #sendAll({ response }: RoutedRequest, call: PanelCall, first: LongAnswer): Promise<void> {
    response.writeHead(first.status, { ...NOT_KEPT, ...first.headers })
    for (let part = first; ; ) {
      if (!response.write(part.body)) await drained(response)
      if (response.destroyed) return
      if (!hasMore(part)) return void response.end()
      const query = { ...call.query, cursor: part.next }
      const next = await this.#options.primary.ask({
        type: 'panel.call',
        call: { ...call, query }
      })
      if (next.name === 'refusal') throw GatewayError.ofData(next.error)
      part = next
    }
  }

  #refuse(routed: RoutedRequest, cause: unknown, isKnown: boolean): void {
    const { request, response, requestId } = routed
    const error = asGatewayError(cause)
    const { log } = this.#options
    const { method } = request
    const facts = { request_id: requestId, method, path: shownPathOf(request), code: error.code }
    if (error.code === 'GW_INTERNAL') log.error({ ...facts, err: cause }, 'request failed')
    if (response.headersSent) return void response.destroy()
    sendError(routed, error, {}, isKnown)
  }
}

const NOT_YOURS = {
  message:
    'This needs an operator key (PROXY_API_KEY). Your own usage is at GET /admin/v1/me and /v1/usage.'
}

function queryOf(url: string): Readonly<Record<string, string>> {
  const at = url.indexOf('?')
  if (at < 0) return {}
  return Object.fromEntries(new URLSearchParams(url.slice(at, at + MAX_QUERY_CHARS)))
}

type LongAnswer = Extract<PanelAnswer, { readonly name: 'answer' }>

function hasMore(answer: PanelAnswer): answer is LongAnswer & { readonly next: string } {
  return answer.name === 'answer' && typeof answer.next === 'string'
}

/** Resolves when the client has read on, or is gone. */
async function drained(response: RoutedRequest['response']): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  response.once('drain', resolve).once('close', resolve)
  if (!response.destroyed) await promise
  response.off('drain', resolve).off('close', resolve)
}

function send(routed: RoutedRequest, answer: PanelAnswer): void {
  if (answer.name === 'refusal')
    return sendError(routed, GatewayError.ofData(answer.error), answer.more, true)
  const { status, headers, body } = answer
  const { request, response } = routed
  answerEarly(request, response, { status, headers: { ...NOT_KEPT, ...headers }, body }, KNOWN)
}

/** Names the code as it is, unlike the client APIs: it is for forms and programs. */
function sendError(
  { request, response }: RoutedRequest,
  error: GatewayError,
  more: JsonObject,
  isKnown: boolean
): void {
  const { code, message, param = null, status, retryAfterS } = error
  const type = status >= 500 ? 'server_error' : 'invalid_request_error'
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    ...NOT_KEPT,
    ...(retryAfterS !== undefined && { 'retry-after': String(Math.ceil(retryAfterS)) })
  }
  const body = JSON.stringify({ error: { type, code, message, param }, ...more })
  answerEarly(request, response, { status, headers, body }, isKnown ? KNOWN : STRANGER)
}

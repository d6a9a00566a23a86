import type { IncomingMessage, ServerResponse } from 'node:http'
import findMyWay from 'find-my-way'
import type { NamedKey } from '../../keys/key.ts'
import { invalidBody } from '../../dialects/plan/json-body.ts'
import { GatewayError } from '../../shared/errors.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { KiroKey } from './auth.ts'

export interface RoutedRequest {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  readonly keyName: string
  /** `null` for the operator's keys, for Kiro keys, and without keys. */
  readonly namedKey: NamedKey | null
  /** `null` if the client uses the gateway's sign-in. */
  readonly kiroKey: KiroKey | null
  readonly params: Readonly<Record<string, string | undefined>>
}

export interface Route {
  readonly method: Method
  readonly path: string
  readonly isOpen?: boolean
  /** Concerns all clients: a named key is not enough. */
  readonly isOperators?: boolean
  readonly isForMetrics?: boolean
  readonly isForSignedIn?: boolean
  /** While it is true, there is no such route. */
  readonly isOff?: () => boolean
  readonly serve: (routed: RoutedRequest) => Promise<void> | void
}

const METHODS = ['GET', 'POST', 'DELETE'] as const
type Method = (typeof METHODS)[number]

export interface Match extends Pick<RoutedRequest, 'params'> {
  readonly route: Route
}

const MAX_PARAM_CHARS = 200

/** Ignores slashes at the end and repeated ones, and serves HEAD as GET. */
export class Router {
  readonly #routes = findMyWay({
    ignoreTrailingSlash: true,
    ignoreDuplicateSlashes: true,
    maxParamLength: MAX_PARAM_CHARS,
    querystringParser: () => null, // read by the one route that has a query
    onBadUrl: () => refusePath('is not a valid URL'),
    onMaxParamLength: () => refusePath('has a part that is too long')
  })

  constructor(routes: readonly Route[]) {
    for (const route of routes) this.#routes.on(route.method, route.path, () => route)
  }

  /** @throws {GatewayError} GW_BODY_INVALID for an invalid path */
  find(request: IncomingMessage, response: ServerResponse): Match | null {
    const { method } = request
    const served = METHODS.find((one) => one === (method === 'HEAD' ? 'GET' : method))
    return served === undefined ? null : this.#match(served, request, response)
  }

  /**
   * Empty if no route has the path.
   * @throws {GatewayError} GW_BODY_INVALID for an invalid path
   */
  methodsOf(request: IncomingMessage, response: ServerResponse): readonly Method[] {
    return METHODS.filter((method) => this.#match(method, request, response) !== null)
  }

  #match(method: Method, request: IncomingMessage, response: ServerResponse): Match | null {
    const found = this.#routes.find(method, request.url ?? '')
    if (found === null) return null
    const { params } = found
    const route: Route = found.handler(request, response, params, null, {}) // or throws for a bad path
    return route.isOff?.() === true ? null : { route, params }
  }
}

function refusePath(what: string): never {
  throw invalidBody(`The path of the request ${what}.`)
}

export function sendJson(
  { request, response }: Pick<RoutedRequest, 'request' | 'response'>,
  status: number,
  answer: object,
  more: Readonly<Record<string, string>> = {}
): void {
  const headers = { 'content-type': 'application/json; charset=utf-8', ...more }
  answerEarly(request, response, { status, headers, body: JSON.stringify(answer) })
}

/** Aborts when the client has left, or has its answer. */
export function goneSignal(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => gone.abort(new GatewayError('GW_CLIENT_CLOSED')))
  return gone.signal
}

const MAX_PATH_CHARS = 200

/** Path of a request for messages and logs. */
export function shownPathOf({ url = '' }: IncomingMessage): string {
  const [path = ''] = url.split('?', 1)
  return path.slice(0, MAX_PATH_CHARS)
}

export function routeUnknown(request: IncomingMessage, detail?: string): GatewayError {
  const message = `The route ${request.method} ${shownPathOf(request)} does not exist.`
  return new GatewayError('GW_ROUTE_UNKNOWN', detail, { message })
}

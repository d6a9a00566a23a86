import type { IncomingMessage, ServerResponse } from 'node:http'
import findMyWay from 'find-my-way'
import type { NamedKey } from '../../keys/key.ts'
import { GatewayError } from '../../shared/errors.ts'
import { answerEarly } from '../turn/answer-early.ts'
import type { KiroKey } from './auth.ts'

/** A request that was let in, as its route gets it. */
export interface RoutedRequest {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly requestId: string
  /** Name of the client's key; empty where the route is open. */
  readonly keyName: string
  /** `null` for the operator's keys, for Kiro keys, and where there are no keys. */
  readonly namedKey: NamedKey | null
  /** The Kiro key that the client brings; `null` where it uses the gateway's sign-in. */
  readonly kiroKey: KiroKey | null
  /** Named parts of the path, decoded. */
  readonly params: Readonly<Record<string, string | undefined>>
}

export interface Route {
  readonly method: Method
  readonly path: string
  /** Served without a key. */
  readonly isOpen?: boolean
  /** Tells of all clients together: the key of one of them is not enough. */
  readonly isOperators?: boolean
  /** METRICS_KEY opens it, too. */
  readonly isForMetrics?: boolean
  /** A session of the dashboard opens it, too. */
  readonly isForSignedIn?: boolean
  readonly serve: (routed: RoutedRequest) => Promise<void> | void
}

const METHODS = ['GET', 'POST', 'DELETE'] as const
type Method = (typeof METHODS)[number]

/** Route of a request. */
export interface Match extends Pick<RoutedRequest, 'params'> {
  readonly route: Route
}

const MAX_PARAM_CHARS = 200

/** Finds the route of a request. Slashes at the end or in a row make no difference, and HEAD is served as GET. */
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

  /** @throws {GatewayError} GW_BODY_INVALID where the path is none */
  find(request: IncomingMessage, response: ServerResponse): Match | null {
    const { method } = request
    const served = METHODS.find((one) => one === (method === 'HEAD' ? 'GET' : method))
    return served === undefined ? null : this.#match(served, request, response)
  }

  /**
   * The methods that a path takes; empty where no route has it.
   *
   * @throws {GatewayError} GW_BODY_INVALID where the path is none
   */
  methodsOf(request: IncomingMessage, response: ServerResponse): readonly Method[] {
    return METHODS.filter((method) => this.#match(method, request, response) !== null)
  }

  #match(method: Method, request: IncomingMessage, response: ServerResponse): Match | null {
    const found = this.#routes.find(method, request.url ?? '')
    if (found === null) return null
    const { params } = found
    const route: Route = found.handler(request, response, params, null, {}) // or throws for a bad path
    return { route, params }
  }
}

function refusePath(what: string): never {
  throw new GatewayError('GW_BODY_INVALID', undefined, {
    message: `The path of the request ${what}.`
  })
}

/** Answers a request whose body, if it has one, is of no interest. */
export function sendJson(
  { request, response }: Pick<RoutedRequest, 'request' | 'response'>,
  status: number,
  answer: object
): void {
  const headers = { 'content-type': 'application/json; charset=utf-8' }
  answerEarly(request, response, { status, headers, body: JSON.stringify(answer) })
}

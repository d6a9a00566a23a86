import type { IncomingMessage, ServerResponse } from 'node:http'
import { randomUUID } from 'node:crypto'
import { createWriter, Dialects, dialectOf } from '../../dialects/dialect.ts'
import { toText } from '../../dialects/answer/answer-writer.ts'
import { invalidBody } from '../../dialects/plan/json-body.ts'
import type { Logger } from '../../observe/logger.ts'
import { GatewayError, type GatewayErrorOptions } from '../../shared/errors.ts'
import { parseJsonObject } from '../../shared/json.ts'
import type { AskedTurn, RunningAnswer } from '../socket/responses-socket.ts'
import type { KeyLines } from '../socket/key-lines.ts'
import type { ResponsesSockets, SocketClient } from '../socket/responses-sockets.ts'
import { bodyMemoryOf } from '../turn/body-memory.ts'
import { convertClientBody } from '../turn/body.ts'
import { type LocalAnswer, Turn, unixTime } from '../turn/turn.ts'
import type { DataPlane } from '../worker/data-plane.ts'
import { type Authenticator, hasLostUpgrade, requestIdOf, wantsWebSocket } from './auth.ts'
import type { ClientConnections } from './connections.ts'
import type { PassthroughKeys } from './passthrough-keys.ts'
import type { Route } from './router.ts'
import { askerOf, type CallerKey } from './turn-routes.ts'

const DIALECT = 'openai-responses'
const PATHS: ReadonlySet<string> = new Set(Dialects[DIALECT].paths)

/** True for a request that is handed out with its socket; its key and the number of WebSockets may still refuse it. */
export function takesWebSocket(sockets: ResponsesSockets, request: IncomingMessage): boolean {
  const [path = ''] = (request.url ?? '').split('?', 1)
  const isGet = request.method === 'GET' && PATHS.has(path.replace(/\/+$/, ''))
  return isGet && wantsWebSocket(request) && sockets.isServed
}

export interface SocketRouteParts {
  readonly plane: DataPlane
  readonly keys: PassthroughKeys
  readonly log: Logger
  readonly sockets: ResponsesSockets
  readonly lines: KeyLines
  readonly connections: Pick<ClientConnections, 'handshakeOf' | 'becomeWebSocket'>
  readonly current: { readonly authenticator: Authenticator }
}

/**
 * Returns the route of a request for a WebSocket. A refusal precedes any other check.
 * @throws {GatewayError} GW_UPGRADE_REFUSED
 */
export function socketRouteOf(
  parts: SocketRouteParts,
  request: IncomingMessage,
  response: ServerResponse
): Route {
  const handshake = parts.connections.handshakeOf(request)
  if (handshake === null) return refuseWebSocket(response, hasLostUpgrade(request) ? LOST : {})
  const serve = async (): Promise<void> => {
    const { plane, sockets, connections } = parts
    if (plane.life.state === 'draining') throw new GatewayError('GW_DRAINING')
    refuseOthers(request)
    if (!(await sockets.takePlace())) refuseWebSocket(response)
    const place = connections.becomeWebSocket(handshake, response)
    await sockets.accept(handshake, { ...clientOf(parts, request), place })
  }
  return { method: 'GET', path: '/v1/responses', serve }
}

/**
 * Codex tries WebSocket first, goes on over HTTP at once after 426, and retries for seconds after any other status.
 * @throws {GatewayError} GW_UPGRADE_REFUSED
 */
function refuseWebSocket(response: ServerResponse, options: GatewayErrorOptions = {}): never {
  response.setHeader('upgrade', 'HTTP/1.1') // RFC 9110 §15.5.22 wants to know what else is spoken
  response.setHeader('connection', 'upgrade, close')
  throw new GatewayError('GW_UPGRADE_REFUSED', undefined, options)
}

const LOST: GatewayErrorOptions = {
  message:
    'A proxy has taken the upgrade out of this WebSocket handshake. Send the request over HTTP, or have the proxy hand the headers ' +
    'upgrade and connection on.'
}

const SOCKET_KEY = /^[+/0-9A-Za-z]{22}==$/

/** `ws` would refuse these without a dialect. @throws {GatewayError} GW_BODY_INVALID */
function refuseOthers({ headers }: IncomingMessage): void {
  const protocols = headers['sec-websocket-protocol']
  if (protocols !== undefined && !arePlainProtocols(protocols))
    throw invalidBody('The header sec-websocket-protocol must be a list of different names.')
  const hasKey = SOCKET_KEY.test(headers['sec-websocket-key'] ?? '')
  if (hasKey && headers['sec-websocket-version'] === '13') return
  throw invalidBody(
    'This is not a WebSocket handshake of version 13. It needs the headers sec-websocket-key and sec-websocket-version: 13.'
  )
}

const PROTOCOL = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/

/** Names as RFC 6455 §4.1 wants them. */
function arePlainProtocols(list: string): boolean {
  const names = list.split(',').map((name) => name.replace(/^[ \t]+|[ \t]+$/g, ''))
  return names.every((name) => PROTOCOL.test(name)) && new Set(names).size === names.length
}

/** The client's key is looked up for each request, since it may be changed or revoked meanwhile. */
function clientOf(parts: SocketRouteParts, request: IncomingMessage): Omit<SocketClient, 'place'> {
  const { plane, keys, log, lines, current } = parts
  const { headers } = request
  const brought = current.authenticator.kiroKeyOf(headers)
  const caller = (): CallerKey => {
    const kiroKey = current.authenticator.kiroKeyOf(headers)
    if (kiroKey !== null) return { keyName: kiroKey.name, namedKey: null, kiroKey }
    const { name: keyName, named: namedKey } = current.authenticator.check(headers)
    return { keyName, namedKey, kiroKey: null }
  }
  const placeOf = ({ keyName, kiroKey }: CallerKey): string =>
    kiroKey === null ? keyName : keys.placeOf(kiroKey)
  return {
    makeId: () => requestIdOf(undefined),
    isGood: () => current.authenticator.problemOf(headers) === null,
    isKnown: () => brought === null || keys.isAccepted(brought),
    waitInLine: async (signal) => {
      const { namedKey: named } = caller()
      return named === null || named.maxStreams === null ? () => {} : lines.enter(named.id, signal)
    },
    memoryFor: (signal) => bodyMemoryOf(plane, { key: placeOf(caller()), signal }),
    answer: ({ requestId, response, arrived, isWarmUp }: AskedTurn): RunningAnswer => {
      const asker = askerOf(parts, caller(), response)
      const turn = new Turn({
        ...asker,
        dialect: DIALECT,
        route: '/v1/responses',
        request,
        response,
        requestId,
        log,
        arrived,
        ...(isWarmUp && { answerHere: warmUp(asker.plane, arrived.onAnswer) })
      })
      void turn.run() // never rejects
      return turn
    }
  }
}

const NO_USAGE = { inputTokens: 0, outputTokens: 0 }

/** Checks the request and keeps its items, without the model: later ones go on from the response that it answers. */
function warmUp(plane: DataPlane, onAnswer: AskedTurn['arrived']['onAnswer']): LocalAnswer {
  return async (body, signal) => {
    const { plan } = await convertClientBody(plane, body, signal)
    const id = dialectOf(plan).toAnswerId(randomUUID().replaceAll('-', ''))
    const whole = { ...plan, asked: { ...plan.asked, isStream: false } }
    const writer = createWriter(whole, { id, created: unixTime(), now: unixTime })
    writer.push({ type: 'end', reason: 'stop', usage: NO_USAGE })
    onAnswer({ responseId: id, items: writer.keptItems, isStored: false })
    return parseJsonObject(toText(writer.toJson())) ?? {}
  }
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import { GatewayError } from '../shared/errors.ts'

const WEBSOCKET = /\bwebsocket\b/i

/**
 * Refuses to speak WebSocket, whatever the path and before any other check: Codex asks for it first, goes on over HTTP
 * at once when it reads 426, and comes back for seconds after any other status (kiro-protocol §11.4).
 *
 * @throws {GatewayError} GW_UPGRADE_REFUSED
 */
export function refuseWebSocket({ headers }: IncomingMessage, response: ServerResponse): void {
  if (!WEBSOCKET.test(headers.upgrade ?? '')) return
  response.setHeader('upgrade', 'HTTP/1.1') // RFC 9110 §15.5.22 wants to know what else is spoken
  response.setHeader('connection', 'upgrade, close')
  throw new GatewayError('GW_UPGRADE_REFUSED')
}

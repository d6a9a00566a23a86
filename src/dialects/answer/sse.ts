import { GatewayError } from '../../shared/errors.ts'

/** Headers of every event-stream answer. Buffering proxies would hold events back, so they are told not to. */
export const SseHeaders = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-cache, no-transform',
  'x-accel-buffering': 'no'
} as const

/** A comment: keeps the connection alive and is invisible to every SSE parser, in any state. */
export const SseComment = ': ping\n\n'

/** A message without an event name; `json` must be one line, which JSON text without indentation is. */
export function toSseData(json: string): string {
  return `data: ${json}\n\n`
}

/** A message with an event name; `json` must be one line. */
export function toSseEvent(name: string, json: string): string {
  return `event: ${name}\ndata: ${json}\n\n`
}

/** How one client API words errors. */
export interface ErrorFormat {
  /** Headers that repeat the request's id. */
  readonly requestIdHeaders: readonly string[]
  /** The error's status, or the API's own where it has one. */
  toStatus(error: GatewayError): number
  /** The JSON text of the body; `requestId` is left out where it is `''`. */
  toBody(error: GatewayError, requestId: string): string
  /** The same inside a stream: one SSE message. The stream's end marker must not follow it. */
  toEvent(error: GatewayError): string
}

/** What may be told to a client: of a foreign error only that the gateway failed. */
export function toTellable(error: Error): GatewayError {
  return error instanceof GatewayError ? error : new GatewayError('GW_INTERNAL')
}

import { GatewayError } from '../shared/errors.ts'

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

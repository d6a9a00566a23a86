import { GatewayError } from './errors.ts'

/**
 * The error of a wait that `signal` has ended: its own reason where that is one of ours, such as GW_DRAINING or
 * GW_CLIENT_STALLED; otherwise the client has left. `detail` says for the log what was being waited for.
 */
export function abortErrorOf(signal: AbortSignal, detail?: string): GatewayError {
  const { reason } = signal
  return reason instanceof GatewayError
    ? reason
    : new GatewayError('GW_CLIENT_CLOSED', detail, { cause: reason })
}

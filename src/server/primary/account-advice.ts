import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import type { ErrorCode, GatewayError } from '../../shared/errors.ts'

const NOT_ADMITTED =
  'The sign-in is valid, but this subscription or seat admits only certain programs. The gateway identifies itself and does not pose as another program. ' +
  'Create an API key (ksk_…) for this account, the official way for programs, and set KIRO_API_KEY. An administrator may have to allow API keys first, and knows which applications the seat admits. ' +
  'KIRO_USER_AGENT sets the name under which the gateway calls the upstream; changing it is at your own risk.'

const LIKELY_LOCKED =
  'The upstream has suspected abuse of this account within the last day, which is the likely cause. Stop using the account for automation and contact Kiro support.'

/** Qwen Code looks for "quota", "exhausted" and "reset at", or retries for 40 minutes (kiro-protocol §8.6). */
const QUOTA_EXHAUSTED = 'The quota is exhausted until it is reset at the upstream.'

/** Words a refusal for clients that did not receive it; the upstream's words may quote the client that did. */
export function wordBar(code: ErrorCode, isSuspect: boolean): string {
  const { message } = ErrorTable[code]
  if (code === 'GW_UPSTREAM_QUOTA') return `${message} ${QUOTA_EXHAUSTED}`
  return code === 'GW_CLIENT_NOT_ADMITTED' ? `${message} ${adviceFor(isSuspect)}` : message
}

function adviceFor(isSuspect: boolean): string {
  return isSuspect ? LIKELY_LOCKED : NOT_ADMITTED
}

export function inContext(
  error: GatewayError,
  { status, message }: UpstreamFault,
  isSuspect: boolean
): GatewayError {
  if (error.code === 'GW_CLIENT_NOT_ADMITTED') {
    return error.with({ message: `${error.message} ${adviceFor(isSuspect)}` })
  }
  const isLocked = isSuspect && status === 403 && /^user is not authorized\.?$/i.test(message)
  return isLocked ? error.with({ code: 'GW_UPSTREAM_SUSPENDED', message }) : error
}

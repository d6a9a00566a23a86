import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import { ErrorTable } from '../../shared/error-table.ts'
import type { ErrorCode, GatewayError } from '../../shared/errors.ts'

const NOT_ADMITTED =
  'The sign-in is good, but this subscription or seat does not admit other programs than it knows; the gateway names itself and does not pose as another. ' +
  'API keys are the official way for programs: create one (ksk_…) for this account and set KIRO_API_KEY; an administrator may have to allow keys first, and knows which applications the seat admits. ' +
  'How the gateway names itself is set by KIRO_USER_AGENT, at your own responsibility.'

const LIKELY_LOCKED =
  'The upstream has suspected abuse on this account within a day, so this is likely to be part of it: stop using the account for automation and contact its support.'

/** Qwen Code asks for 40 minutes after any other 429; it looks for "quota", "exhausted" and "reset at" (kiro-protocol §8.6). */
const QUOTA_EXHAUSTED = 'The quota is exhausted until it is reset at the upstream.'

/** Explains a refusal to those who did not meet it. The upstream's own words may quote the client that did. */
export function wordBar(code: ErrorCode, isSuspect: boolean): string {
  const { message } = ErrorTable[code]
  if (code === 'GW_UPSTREAM_QUOTA') return `${message} ${QUOTA_EXHAUSTED}`
  return code === 'GW_CLIENT_NOT_ADMITTED' ? `${message} ${adviceFor(isSuspect)}` : message
}

function adviceFor(isSuspect: boolean): string {
  return isSuspect ? LIKELY_LOCKED : NOT_ADMITTED
}

/** A refusal, with what it means for an account on which abuse was suspected lately, or not. */
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

import type { UpstreamFault } from '../../kiro/wire/fault.ts'
import type { GatewayError } from '../../shared/errors.ts'

const NOT_ADMITTED =
  'The sign-in is good, but this subscription or seat does not admit other programs than it knows; the gateway names itself and does not pose as another. ' +
  'API keys are the official way for programs: create one (ksk_…) for this account and set KIRO_API_KEY; an administrator may have to allow keys first, and knows which applications the seat admits. ' +
  'How the gateway names itself is set by KIRO_USER_AGENT, at your own responsibility.'

const LIKELY_LOCKED =
  'The upstream has suspected abuse on this account within a day, so this is likely to be part of it: stop using the account for automation and contact its support.'

/**
 * Said of what is remembered, for the upstream's own refusal goes on as it is (kiro-protocol §8.6). Qwen Code asks for 40
 * minutes after any other 429; it looks for "quota", "exhausted" and "reset at".
 */
export const QUOTA_EXHAUSTED = 'The quota is exhausted until it is reset at the upstream.'

/** A refusal, with what it means for an account on which abuse was suspected lately, or not. */
export function inContext(
  error: GatewayError,
  { status, message }: UpstreamFault,
  isSuspect: boolean
): GatewayError {
  if (error.code === 'GW_CLIENT_NOT_ADMITTED') {
    const advice = isSuspect ? LIKELY_LOCKED : NOT_ADMITTED
    return error.with({ message: `${error.message} ${advice}` })
  }
  const isLocked = isSuspect && status === 403 && /^user is not authorized\.?$/i.test(message)
  return isLocked ? error.with({ code: 'GW_UPSTREAM_SUSPENDED', message }) : error
}

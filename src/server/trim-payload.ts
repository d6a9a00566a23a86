import { decodePayload, encodePayload } from '../dialects/payload-bytes.ts'
import type { ReplyPlan } from '../dialects/reply-plan.ts'
import { Repairs } from '../kiro/repairs.ts'
import { trimHistory } from '../kiro/trim-history.ts'
import type { RequestPayload } from '../upstream/request-payload.ts'

/** What is left of a conversation that was refused although it should have fitted. */
const KEPT_SHARE = 0.6

/** Of the window: the estimate may be off, and the answer needs room, too. */
const FILLED_SHARE = 0.8

/**
 * Shortens a conversation that the upstream refused as too long, oldest turns first. Reads and writes the whole
 * payload here on the event loop, some 15 ms for a megabyte, once for such a request. False if it can't be shortened.
 */
export function trimPayload(
  payload: RequestPayload,
  { inputTokens, contextWindow }: Pick<ReplyPlan, 'inputTokens' | 'contextWindow'>
): boolean {
  const share = Math.min(KEPT_SHARE, (FILLED_SHARE * contextWindow) / inputTokens)
  const whole = decodePayload(payload.bytes)
  const trimmed = trimHistory(whole, Math.floor(JSON.stringify(whole).length * share))
  if (trimmed === null) return false
  payload.replace(encodePayload(trimmed, new Repairs()).bytes)
  return true
}

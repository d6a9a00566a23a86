import { addFollowUp, type FollowUp } from '../kiro/follow-up.ts'
import { Repairs } from '../kiro/repairs.ts'
import { type EncodedPayload, decodePayload, encodePayload } from './payload-bytes.ts'

/**
 * A payload's bytes (`encodePayload`) with another round behind them.
 *
 * Runs on the event loop: the upstream refuses more than 1.34 MB, which take 7 ms here (test/bench/follow-up.bench.ts).
 */
export function extendPayload(bytes: Uint8Array, followUp: FollowUp): EncodedPayload {
  const payload = decodePayload(bytes)
  return encodePayload(addFollowUp(payload, followUp), new Repairs())
}

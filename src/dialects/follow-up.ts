import { addFollowUp, type FollowUp } from '../kiro/follow-up.ts'
import { isJsonObject } from '../kiro/json-object.ts'
import type { UpstreamPayload } from '../kiro/payload.ts'
import { Repairs } from '../kiro/repairs.ts'
import { type EncodedPayload, encodePayload } from './payload-bytes.ts'

/**
 * A payload's bytes (`encodePayload`) with another round behind them.
 *
 * Runs on the event loop: the upstream refuses more than 1.34 MB, which take 8 ms here (test/bench/follow-up.bench.ts).
 */
export function extendPayload(bytes: Uint8Array, followUp: FollowUp): EncodedPayload {
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString()
  const payload: unknown = JSON.parse(text)
  if (!isPayload(payload)) throw new Error('these are not the bytes of a payload')
  return encodePayload(addFollowUp(payload, followUp), new Repairs())
}

/** Nobody but `encodePayload()` writes what begins like this. */
function isPayload(value: unknown): value is UpstreamPayload {
  return isJsonObject(value) && isJsonObject(value['conversationState'])
}

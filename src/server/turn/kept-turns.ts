import type { SettledTurns } from '../../dialects/request/settling.ts'
import type { ConvertedRequest } from '../../dialects/request/to-upstream.ts'

/** Turns of a conversation as the upstream gets them with each request, so that they are converted once. */
export interface KeptTurns extends Omit<SettledTurns, 'bytes'> {
  /** Parts of the conversation that they were made of. */
  readonly parts: number
}

/** Bytes that these turns hold, beside the memory of the conversation itself. */
export function bytesOfTurns({ text }: Pick<KeptTurns, 'text'>): number {
  const { bytes, counts } = text
  return bytes + SETTLED_BYTES + counts.attachments.length * ATTACHMENT_BYTES
}

/** Beginning of the last text that the user has typed, 64 hashes, and the rest. */
const SETTLED_BYTES = 24 * 1024
const ATTACHMENT_BYTES = 200

/** Returns the turns that the next request may go on from: those of before, and what has settled since. */
export function nextTurns(
  { payload, settling }: Pick<ConvertedRequest, 'payload' | 'settling'>,
  before: KeptTurns | null
): KeptTurns | null {
  if (settling === undefined) return before
  const piece = new Uint8Array(payload.subarray(settling.from, settling.to))
  return {
    settled: settling.settled,
    text: settling.text,
    pieces: [...(before?.pieces ?? []), piece],
    parts: (before?.parts ?? 0) + settling.parts
  }
}

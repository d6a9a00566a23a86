import type { JsonObject } from '../../shared/json.ts'

/**
 * The item by which a client asks for a compaction: the answer is one `compaction` item that stands for all items
 * before. Codex sends it where it takes its provider for OpenAI (`openai_base_url`) and ends the session without one.
 */
export const COMPACTION_TRIGGER = 'compaction_trigger'

/** What the model is asked for; the vendor keeps its own way to itself. */
export const COMPACTION_REQUEST =
  'The conversation up to here will be replaced by a summary of it that you write now, for the assistant that goes on ' +
  'with the work. It must have everything that is needed for that: what the user wants, with all instructions and ' +
  'preferences that still hold; what was decided, and why; what was done, with the names of files, commands and results ' +
  'that matter; what is left to do, and the next step. Answer with the summary alone.'

const SUMMARY_HEADING = '[Summary of the conversation so far]'
const UNREADABLE =
  '[A part of the conversation stood here in a form that only the service which compacted it can read.]'

/** What a sealed summary of this gateway begins with; it needs no secret, since the client has seen all that is in it. */
const SEAL = 'kiro-gateway.'

/** A summary as clients keep it: a word that means nothing to them. */
export function sealSummary(summary: string | Uint8Array): string {
  return SEAL + Buffer.from(summary).toString('base64')
}

/** What a `compaction` item says to the model; `isRead` unless another service has made it. */
export function readCompaction({ encrypted_content: content }: JsonObject): {
  readonly text: string
  readonly isRead: boolean
} {
  if (typeof content !== 'string' || !content.startsWith(SEAL)) {
    return { text: UNREADABLE, isRead: false }
  }
  const summary = Buffer.from(content.slice(SEAL.length), 'base64').toString()
  return { text: `${SUMMARY_HEADING}\n${summary}`, isRead: true }
}

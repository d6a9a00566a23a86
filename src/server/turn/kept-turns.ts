import type { JsonSpan } from '../../dialects/openai-responses/json-spans.ts'
import type { GivenTools, SettledTurns } from '../../dialects/request/settling.ts'
import { bytesOfTools, type SettledTools } from '../../dialects/request/settled-tools.ts'
import type { ConvertedRequest } from '../../dialects/request/to-upstream.ts'

/** Turns of a conversation as the upstream gets them with each request, so that they are converted once. */
export interface KeptTurns extends Omit<SettledTurns, 'bytes' | 'tools'> {
  /** Parts of the conversation that they were made of. */
  readonly parts: number
  /** Tools of its last request; `null` for none, and where they have to be converted again. */
  readonly tools: KeptTools | null
}

/** Tools as the upstream gets them with each request that has the same JSON text of tools. */
export interface KeptTools {
  readonly json: Uint8Array
  readonly settled: SettledTools
  /** Memory of both. */
  readonly bytes: number
}

/** Body of a request, and the place of the value of its tools; `null` if it has none. */
interface BodyWithTools {
  readonly body: Uint8Array
  readonly tools?: JsonSpan | null
}

/** Returns a copy of the JSON text of the tools; `null` without any. */
export function copyTools({ body, tools }: BodyWithTools): Uint8Array | null {
  return tools ? new Uint8Array(body.subarray(tools.from, tools.to)) : null
}

const NO_VALUE = Buffer.from('null')

/** Takes tools out of a body that are the kept ones to the byte. `null` for others. */
export function withoutTools(
  { body, tools }: BodyWithTools,
  { tools: kept }: Pick<KeptTurns, 'tools'>
): { readonly body: Uint8Array; readonly tools: GivenTools } | null {
  if (!tools || kept === null) return null
  const json = body.subarray(tools.from, tools.to)
  if (Buffer.compare(json, kept.json) !== 0) return null
  const rest = [body.subarray(0, tools.from), NO_VALUE, body.subarray(tools.to)]
  return { body: Buffer.concat(rest), tools: { ...kept.settled, bytes: json.byteLength } }
}

/** Bytes that these turns hold, beside the memory of the conversation itself. */
export function bytesOfTurns({ text, tools }: Pick<KeptTurns, 'text' | 'tools'>): number {
  const { bytes, counts } = text
  const toolBytes = tools?.bytes ?? 0
  return bytes + SETTLED_BYTES + counts.attachments.length * ATTACHMENT_BYTES + toolBytes
}

/** Beginning of the last text that the user has typed, 64 hashes, and the rest. */
const SETTLED_BYTES = 24 * 1024
const ATTACHMENT_BYTES = 200

/**
 * Returns the turns that the next request may go on from: those of before, and what has settled since. `toolsJson`: see
 * `copyTools()`.
 */
export function nextTurns(
  { payload, settling }: Pick<ConvertedRequest, 'payload' | 'settling'>,
  before: KeptTurns | null,
  toolsJson: Uint8Array | null
): KeptTurns | null {
  if (settling === undefined) return before
  const piece = new Uint8Array(payload.subarray(settling.from, settling.to))
  return {
    settled: settling.settled,
    text: settling.text,
    pieces: [...(before?.pieces ?? []), piece],
    parts: (before?.parts ?? 0) + settling.parts,
    tools: nextTools(settling.tools, before?.tools ?? null, toolsJson)
  }
}

function nextTools(
  settled: SettledTools | undefined,
  before: KeptTools | null,
  toolsJson: Uint8Array | null
): KeptTools | null {
  if (settled === undefined) return before
  if (toolsJson === null) return null
  return { json: toolsJson, settled, bytes: toolsJson.byteLength + bytesOfTools(settled) }
}

import type { RoundPlan } from './round-plan.ts'
import type { TextCallForm } from './text-call-form.ts'

/** The client APIs; each name is a folder beside this file. */
export type DialectName = 'openai-chat' | 'openai-responses' | 'anthropic-messages'

/**
 * Everything that the answering side must remember of a request. Made with the upstream payload by a
 * dialect's `request.ts`; plain data and small, since it may come back from a thread.
 */
export interface ReplyPlan {
  readonly dialect: DialectName
  /** As the client named it; echoed in the answer. */
  readonly model: string
  /** As sent upstream. */
  readonly upstreamModel: string
  readonly isStream: boolean
  /** OpenAI `stream_options.include_usage`; always true where the dialect always tells. */
  readonly wantsUsage: boolean
  /** Upstream tool name → the client's, only where they differ. */
  readonly toolNames: Readonly<Record<string, string>>
  readonly stopSequences: readonly string[]
  /** Where reasoning comes from: nowhere, events of its own, or tags in the text. */
  readonly reasoning: 'none' | 'native' | 'tags'
  /** `parallel_tool_calls: false`: only the first call of the answer is delivered. */
  readonly isSingleToolCall: boolean
  /** The answer must be JSON: a code fence around the whole of it is removed. */
  readonly isJsonAnswer: boolean
  /** The client's bound on the answer in tokens, where the upstream does not keep it. */
  readonly maxOutputTokens?: number
  /** The tools on offer by upstream name, to recognise calls that a model writes as text. */
  readonly textCallForms: Readonly<Record<string, TextCallForm>>
  /** Local estimate of the request's tokens, used until the upstream says better. */
  readonly inputTokens: number
  /** The model's input window in tokens, to turn the upstream's percentage into tokens. */
  readonly contextWindow: number
  /** What may make the gateway ask more than once; `null` where the first answer is the answer. */
  readonly rounds: RoundPlan | null
  /** The tools on offer that are no plain functions of one name, by the client's full name. */
  readonly toolForms: Readonly<Record<string, ToolForm>>
  /** JSON text of an object: members of the request that the answer repeats, where the dialect does that. */
  readonly echo: string
  /** The client may refer to parts of the answer by their ids later on. */
  readonly keepsItems: boolean
  /** The answer's text is a summary that will stand for the conversation. */
  readonly isCompaction?: boolean
  /** Chat Completions: the client offered `functions`, so it reads its one call from `function_call`. */
  readonly isLegacyCall?: true
  /** Kinds of safety verdict that the client asked for; all are answered as unsupported, none is made up. */
  readonly safeguards?: readonly string[]
  /** Codes of the repairs that were made, in order, without duplicates. */
  readonly repairs: readonly string[]
  /** Ids of the rules that the request may break in the upstream's eyes, see `kiro/borderline.ts`. */
  readonly borderline: readonly string[]
  /** What all of this takes in memory until the answer has ended, see `keptBytesOf()`. */
  readonly keptBytes: number
}

/** How a client declared a tool, which is how a call of it must look in the answer. */
export interface ToolForm {
  /** `text`: takes one raw text, sent upstream as `{"input": "…"}`; `search`: looks for more tools. */
  readonly kind: 'function' | 'text' | 'search'
  /** The name inside its namespace. */
  readonly name: string
  /** The group that the tool was declared in. */
  readonly namespace?: string
}

// Of V8 with pointers of eight bytes, rounded up.
const STRING_BYTES = 24
const OBJECT_BYTES = 56
const SLOT_BYTES = 8
/** A character that is not Latin-1 makes a whole string take two for each. */
const CHAR_BYTES = 2

/** About how much memory plain data takes, at most. Walks all of it, so it is for what has a bound. */
export function keptBytesOf(value: unknown): number {
  if (typeof value === 'string') return STRING_BYTES + value.length * CHAR_BYTES
  if (typeof value !== 'object' || value === null) return SLOT_BYTES
  let bytes = OBJECT_BYTES
  if (Array.isArray(value)) {
    for (const item of value) bytes += SLOT_BYTES + keptBytesOf(item)
    return bytes
  }
  for (const [name, member] of Object.entries(value)) {
    bytes += SLOT_BYTES + keptBytesOf(name) + keptBytesOf(member)
  }
  return bytes
}

import type { ReasoningContent, UpstreamDocument, UpstreamImage } from './payload.ts'

/**
 * A conversation without any client API's habits: what every dialect's
 * `request.ts` makes and what `conversation.ts` turns into the upstream's body.
 */
export interface Conversation {
  /** In the client's order; joined by line breaks. */
  readonly systemParts: readonly string[]
  /** Instructions of the gateway itself, such as for an answer in JSON; they follow the system text. */
  readonly instructions: readonly string[]
  readonly messages: readonly Message[]
  readonly tools: readonly ToolDefinition[]
  readonly toolChoice: ToolChoice
}

/** One turn. Assistant turns carry calls, user turns carry results; the rest may be in both. */
export interface Message {
  readonly role: Role
  readonly text: string
  /** Images, including those inside tool results: the upstream has no other place for them. */
  readonly images: readonly UpstreamImage[]
  /** The same holds for these. */
  readonly documents?: readonly UpstreamDocument[]
  readonly toolCalls: readonly ToolCall[]
  readonly toolResults: readonly ToolResult[]
  /** Reasoning of an assistant; `null` if there was some that can't go back to the upstream. */
  readonly reasoning?: KeptReasoning | null
  readonly source?: Source
}

/** Reasoning of an earlier answer that a client has kept. */
export interface KeptReasoning {
  /** The upstream's name of the model that it belongs to; `null` where the client's API does not say. */
  readonly model: string | null
  readonly content: ReasoningContent
}

/** Place in the client's body, as `Repairs.note()` takes it; missing if unknown. */
export type Source = string | undefined

export type Role = 'user' | 'assistant'

export interface ToolCall {
  readonly id: string
  readonly name: string
  readonly input: Readonly<Record<string, unknown>>
  readonly source?: Source
}

export interface ToolResult {
  readonly id: string
  readonly text: string
  readonly isError: boolean
  readonly source?: Source
}

export interface ToolDefinition {
  readonly name: string
  readonly description: string
  /** As the client sent it; `clean-schema.ts` makes an object schema of anything. */
  readonly schema: unknown
  readonly source?: Source
  readonly schemaSource?: Source
}

export type ToolChoice =
  | { readonly type: 'auto' | 'none' | 'required' }
  | { readonly type: 'named'; readonly name: string }

/** A turn of nothing but text. */
export function textMessage(role: Role, text: string): Message {
  return { role, text, images: [], toolCalls: [], toolResults: [] }
}

/** Joins two texts; the separator stands only between two that are not empty. */
export function joinText(first: string, second: string, separator: string): string {
  if (first === '') return second
  return second === '' ? first : first + separator + second
}

/** True if a text has only white space. */
export function isBlank(text: string): boolean {
  return text.trim() === ''
}

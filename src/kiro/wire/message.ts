import type { ReasoningContent, UpstreamDocument, UpstreamImage } from './payload.ts'

export interface Conversation {
  readonly systemParts: readonly string[]
  readonly instructions: readonly string[]
  readonly messages: readonly Message[]
  readonly tools: readonly ToolDefinition[]
  readonly toolChoice: ToolChoice
}

export interface Message {
  readonly role: Role
  readonly text: string
  /** Includes images of tool results: the upstream has no other place for them. */
  readonly images: readonly UpstreamImage[]
  readonly documents?: readonly UpstreamDocument[]
  readonly toolCalls: readonly ToolCall[]
  readonly toolResults: readonly ToolResult[]
  /** `null` if there was some that cannot go back. */
  readonly reasoning?: KeptReasoning | null
  readonly source?: Source
}

export interface KeptReasoning {
  /** The upstream's name; `null` if the client's API does not say. */
  readonly model: string | null
  readonly content: ReasoningContent
}

/** Place in the client's body, for `Repairs.note()`. */
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
  /** The schema as sent; `clean-schema.ts` makes an object schema of anything. */
  readonly schema: unknown
  readonly source?: Source
  readonly schemaSource?: Source
}

export type ToolChoice =
  | { readonly type: 'auto' | 'none' | 'required' }
  | { readonly type: 'named'; readonly name: string }

export function textMessage(role: Role, text: string): Message {
  return { role, text, images: [], toolCalls: [], toolResults: [] }
}

export function joinText(first: string, second: string, separator: string): string {
  if (first === '') return second
  return second === '' ? first : first + separator + second
}

export function isBlank(text: string): boolean {
  return text.trim() === ''
}

/**
 * The upstream's request body as this gateway writes it (kiro-protocol §4). Keys that would be empty are
 * absent, never `[]` or `{}`. `profileArn` is added by whoever holds the credential.
 */
export interface UpstreamPayload {
  readonly conversationState: ConversationState
  /** Native reasoning and output bounds, only what the model's schema declares (§9.2). */
  readonly additionalModelRequestFields?: Readonly<Record<string, unknown>>
}

export interface ConversationState {
  /** A UUID. */
  readonly conversationId: string
  readonly chatTriggerType: 'MANUAL'
  /** Alternates user, assistant, …, and ends with an assistant. */
  readonly history?: readonly HistoryEntry[]
  readonly currentMessage: { readonly userInputMessage: UserInputMessage }
}

export type HistoryEntry =
  | { readonly userInputMessage: UserInputMessage }
  | { readonly assistantResponseMessage: AssistantResponseMessage }

export interface UserInputMessage {
  /** Never blank in the current message; a single space where a history turn has no text. */
  readonly content: string
  readonly modelId: string
  readonly origin: 'AI_EDITOR'
  readonly images?: readonly UpstreamImage[]
  readonly userInputMessageContext?: UserInputMessageContext
}

export interface UserInputMessageContext {
  /** Only in the current message. */
  readonly tools?: readonly UpstreamTool[]
  readonly toolResults?: readonly UpstreamToolResult[]
}

export interface AssistantResponseMessage {
  readonly content: string
  readonly toolUses?: readonly UpstreamToolUse[]
}

export interface UpstreamImage {
  readonly format: ImageFormat
  /** Base64 without prefix and white space. */
  readonly source: { readonly bytes: string }
}

export type ImageFormat = 'png' | 'jpeg' | 'gif' | 'webp'

export interface UpstreamTool {
  readonly toolSpecification: {
    readonly name: string
    readonly description: string
    readonly inputSchema: { readonly json: Readonly<Record<string, unknown>> }
  }
}

export interface UpstreamToolUse {
  readonly toolUseId: string
  readonly name: string
  readonly input: Readonly<Record<string, unknown>>
}

export interface UpstreamToolResult {
  readonly toolUseId: string
  readonly content: readonly [{ readonly text: string }]
  readonly status: 'success' | 'error'
}

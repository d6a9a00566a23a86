import { isJsonObject } from '../../shared/json.ts'

/** See kiro-protocol §4. Empty members are absent, never `[]` or `{}`. `profileArn` is added with the credential. */
export interface UpstreamPayload {
  /** Target form only, as other optional members (§4.16). */
  readonly agentMode?: 'vibe' | 'general-task-execution'
  readonly conversationState: {
    /** UUID; for a session in the target form preceded by `sess_`. */
    readonly conversationId: string
    readonly rootConversationId?: string
    readonly agentContinuationId?: string
    readonly agentTaskType?: 'vibe'
    readonly chatTriggerType: 'MANUAL'
    /** Alternates user, assistant, …, and ends with an assistant. */
    readonly history?: readonly HistoryEntry[]
    readonly currentMessage: { readonly userInputMessage: UserInputMessage }
  }
  /** Fields that the model's schema declares (§9.2). */
  readonly additionalModelRequestFields?: Readonly<Record<string, unknown>>
}

export type HistoryEntry =
  | { readonly userInputMessage: UserInputMessage }
  | {
      readonly assistantResponseMessage: {
        readonly content: string
        readonly toolUses?: readonly UpstreamToolUse[]
        readonly reasoningContent?: ReasoningContent
      }
    }

/** Signed, or readable by the upstream alone. */
export type ReasoningContent =
  | { readonly reasoningText: { readonly text: string; readonly signature: string } }
  | { readonly redactedContent: string }

export interface UserInputMessage {
  /** Blank only in history (a single space), or beside results in the target form. */
  readonly content: string
  readonly modelId: string
  readonly origin: 'AI_EDITOR'
  readonly images?: readonly UpstreamImage[]
  readonly documents?: readonly UpstreamDocument[]
  readonly userInputMessageContext?: {
    /** Present only in the current message. */
    readonly tools?: readonly UpstreamTool[]
    readonly toolResults?: readonly UpstreamToolResult[]
  }
}

export interface UpstreamImage {
  readonly format: ImageFormat
  /** Base64 without prefix and white space. */
  readonly source: { readonly bytes: string }
}

export interface UpstreamDocument {
  readonly name: string
  readonly format: DocumentFormat
  /** Base64 without prefix and white space. */
  readonly source: { readonly bytes: string }
}

export type DocumentFormat = 'pdf' | 'csv' | 'doc' | 'docx' | 'xls' | 'xlsx' | 'html' | 'txt' | 'md'

export type ImageFormat = 'png' | 'jpeg' | 'gif' | 'webp'

export interface UpstreamTool {
  readonly toolSpecification: {
    readonly name: string
    readonly description: string
    readonly inputSchema: { readonly json: Readonly<Record<string, unknown>> }
  }
}

interface UpstreamToolUse {
  readonly toolUseId: string
  readonly name: string
  readonly input: Readonly<Record<string, unknown>>
}

interface UpstreamToolResult {
  readonly toolUseId: string
  readonly content: readonly [{ readonly text: string }]
  readonly status: 'success' | 'error'
}

const STRUCTURE = new Set(
  'conversationId rootConversationId agentContinuationId agentTaskType agentMode chatTriggerType'
    .concat(' modelId origin format toolUseId name status')
    .split(' ')
)

const MAX_STRUCTURE_CHARS = 128
const MAX_KEY_CHARS = 64

/** Replaces texts by their length. Keeps what the upstream refuses requests for: ids, names and schema keywords. */
export function outlineOf(value: unknown): unknown {
  return outline(value, { key: '', area: 'payload' })
}

interface Place {
  readonly key: string
  /** Texts of a schema are keywords except descriptions; those of a call's arguments never are. */
  readonly area: 'payload' | 'schema' | 'words'
}

const SCHEMA_TEXTS = new Set(['description', 'title', 'default', 'example', 'examples', '$comment'])

function outline(value: unknown, place: Place): unknown {
  if (typeof value === 'string') return outlineText(value, place)
  if (typeof value === 'number' && place.area === 'words') return '‹number›'
  if (Array.isArray(value)) return value.map((item) => outline(item, place))
  if (!isJsonObject(value)) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, member], index) => [
      isStructural(key, place) ? key : `key ${index + 1}: ${lengthOf(key)}`,
      outline(member, { key, area: areaOf(key, place) })
    ])
  )
}

function isStructural(key: string, { area }: Place): boolean {
  return key.length <= MAX_KEY_CHARS && (area !== 'words' || NAME.test(key))
}

const NAME = /^[a-z_$][\w$-]*$/i

function areaOf(key: string, { area }: Place): Place['area'] {
  if (area === 'payload' && (key === 'input' || key === 'documents')) return 'words'
  if (area === 'payload' && key === 'inputSchema') return 'schema'
  return area === 'schema' && SCHEMA_TEXTS.has(key) ? 'words' : area
}

function outlineText(text: string, { key, area }: Place): string {
  const isStructure = area === 'schema' || (area === 'payload' && STRUCTURE.has(key))
  const isKept = isStructure && text.length <= MAX_STRUCTURE_CHARS
  return isKept || text === '' ? text : lengthOf(text)
}

function lengthOf(text: string): string {
  const blank = text.trim() === '' ? ', all white space' : ''
  return `‹${text.length} characters${blank}›`
}

import {
  type ConversationParts,
  type ConversationStart,
  hashOfPart,
  type RequestFields,
  requestFieldsOf
} from '../../kiro/conversation/conversation-memory.ts'
import type { ConversationIds } from '../../kiro/conversation/ids.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import type { Conversation, ToolChoice } from '../../kiro/wire/message.ts'
import { signatureOf } from '../../kiro/conversation/signed-reasoning.ts'
import type { GroupTokens } from '../../kiro/tokens/request-tokens.ts'
import type { GaugeReading } from '../../kiro/tokens/token-gauge.ts'
import type { HistoryEntry, UpstreamPayload } from '../../kiro/wire/payload.ts'
import { asJsonObject } from '../../shared/json.ts'
import type { JsonForm } from './json-answer.ts'
import {
  nameSearchTool,
  type OpeningSearch,
  openingSearch,
  searchTool,
  type WebSearchWish
} from './search-tool.ts'

export interface AskedAnswer<Own = unknown> {
  readonly dialect: string
  /** The client's name for it, repeated in the answer. */
  readonly model: string
  readonly isStream: boolean
  readonly stopSequences: readonly string[]
  /** `parallel_tool_calls: false`: only the first call is delivered. */
  readonly isSingleToolCall: boolean
  /** A code fence around the whole answer is removed. */
  readonly isJsonAnswer: boolean
  readonly keepsItems: boolean
  /** The client keeps reasoning that it cannot read, whether it asked for any or not, and sends it back. */
  readonly isSealed?: true
  readonly own: Own
}

/** Everything that the answering side needs of a request. Plain data and small: it may come from a thread. */
export interface ReplyPlan<Own = unknown> extends RefusableParts {
  readonly asked: AskedAnswer<Own>
  readonly upstreamModel: string
  /** Upstream ids of the conversation, in either form of request. */
  readonly ids: ConversationIds
  readonly toolNames: Readonly<Record<string, string>>
  /** `native`: in events of its own; `tags`: in the text. */
  readonly reasoning: 'none' | 'native' | 'tags'
  /** Token limit of the answer that the upstream does not keep. */
  readonly maxOutputTokens?: number
  /** Offered tools by upstream name, to recognise calls that a model writes as text. */
  readonly textCallForms: Readonly<Record<string, TextCallForm>>
  /** Local estimate, used until the upstream gives a figure. */
  readonly inputTokens: number
  /** Tokens of each group, before what was learnt of the model. */
  readonly groups: GroupTokens
  /** Lessons about the model when the request came. */
  readonly gauge?: GaugeReading
  /** The first byte may take much longer than usual: the request is large or asks for much thought. */
  readonly isSlow: boolean
  /** Tokens. */
  readonly contextWindow: number
  /** `null`: the first answer is the answer. */
  readonly rounds: RoundPlan | null
  readonly start?: ConversationStart
  readonly repairs: readonly string[]
  /** Rules that the upstream may find broken, see `Borderline`. */
  readonly borderline: readonly string[]
  /** Memory of the plan until the answer ends, see `keptBytesOf()`. */
  readonly keptBytes: number
}

export interface RefusableParts {
  readonly replay?: ConversationParts
  readonly documents?: ConversationParts
  readonly fields?: RequestFields
}

// V8 with 8-byte pointers, rounded up.
const STRING_BYTES = 24
const OBJECT_BYTES = 56
const SLOT_BYTES = 8
/** One character outside of Latin-1 makes a whole string take two bytes for each. */
const CHAR_BYTES = 2

/** Upper bound, roughly, of the memory of plain data. Walks all of it, so the data must be bounded. */
export function keptBytesOf(value: unknown): number {
  if (typeof value === 'string') return STRING_BYTES + value.length * CHAR_BYTES
  if (typeof value !== 'object' || value === null) return SLOT_BYTES
  let bytes = OBJECT_BYTES
  if (Array.isArray(value)) {
    for (const item of value) bytes += SLOT_BYTES + keptBytesOf(item)
    return bytes
  }
  for (const name of Object.keys(value)) bytes += SLOT_BYTES + keptBytesOf(name)
  for (const member of Object.values(value)) bytes += keptBytesOf(member)
  return bytes
}

export interface RoundPlan {
  /** `null` for any text. */
  readonly jsonForm: JsonForm | null
  readonly dueCall: DueCall | null
  readonly webSearch: WebSearchPlan | null
}

export type DueCall =
  | { readonly name: string }
  | { readonly name: null; readonly oneOf: readonly string[] }

const MaxReminded = 8

export interface WebSearchPlan extends WebSearchWish {
  /** The tool's name for the model. */
  readonly toolName: string
  /** Done before the model is asked. */
  readonly opening: OpeningSearch | null
}

export function planSearch(
  {
    conversation,
    webSearch
  }: { readonly conversation: Conversation; readonly webSearch?: WebSearchWish | undefined },
  { isServed, repairs }: { readonly isServed: boolean; readonly repairs: Repairs }
): { readonly conversation: Conversation; readonly webSearch: WebSearchPlan | null } {
  if (webSearch === undefined || conversation.toolChoice.type === 'none') {
    return { conversation, webSearch: null }
  }
  if (!isServed) {
    repairs.note('server-tool-dropped', webSearch.source)
    return { conversation, webSearch: null }
  }
  const toolName = nameSearchTool(conversation.tools)
  const opening = openingSearch(conversation)
  // First, so that no cleaned-up name of another tool can take its name.
  const tools = [searchTool(toolName, webSearch), ...conversation.tools]
  return {
    conversation: { ...conversation, tools },
    webSearch: { ...webSearch, toolName, opening }
  }
}

/** `null` for the usual answer, which is passed on as it comes. */
export function planRounds(
  { jsonForm, webSearch }: Omit<RoundPlan, 'dueCall'>,
  choice: ToolChoice,
  offered: readonly string[]
): RoundPlan | null {
  const dueCall = dueCallOf(choice, offered)
  if (jsonForm === null && dueCall === null && webSearch === null) return null
  return { jsonForm, dueCall, webSearch }
}

export function offeredNames(
  payload: UpstreamPayload,
  toolNames: Readonly<Record<string, string>>
): readonly string[] {
  return toolsOf(payload).map(({ toolSpecification: { name } }) =>
    Object.hasOwn(toolNames, name) ? (toolNames[name] ?? name) : name
  )
}

function toolsOf({ conversationState }: UpstreamPayload) {
  return conversationState.currentMessage.userInputMessage.userInputMessageContext?.tools ?? []
}

function dueCallOf(choice: ToolChoice, offered: readonly string[]): DueCall | null {
  if (choice.type === 'required') {
    return offered.length > 0 ? { name: null, oneOf: offered.slice(0, MaxReminded) } : null
  }
  if (choice.type !== 'named') return null
  const wanted = choice.name.toLowerCase()
  const name =
    offered.find((one) => one === choice.name) ??
    offered.find((one) => one.toLowerCase() === wanted)
  return name === undefined ? null : { name }
}

/** The first lasts while a conversation only grows, the newest where a client drops the oldest. */
const MAX_SIGNATURES = 64

export function signaturesThatTell(signatures: readonly string[]): readonly string[] {
  if (signatures.length <= MAX_SIGNATURES) return signatures
  return [...signatures.slice(0, 1), ...signatures.slice(1 - MAX_SIGNATURES)]
}

/** `earlier`: hashes of the signatures in entries before those of the payload. */
export function refusablePartsOf(
  payload: UpstreamPayload,
  conversationId: string,
  earlier: readonly string[] = []
): RefusableParts {
  const { history = [], currentMessage } = payload.conversationState
  const own = signatureHashesOf(history)
  const hashes = earlier.length === 0 ? own : signaturesThatTell([...earlier, ...own])
  const documents: string[] = []
  for (const entry of [...history, currentMessage]) {
    if (!('userInputMessage' in entry)) continue
    for (const { source } of entry.userInputMessage.documents ?? [])
      documents.push(hashOfPart(source.bytes))
  }
  const fields = payload.additionalModelRequestFields && requestFieldsOf(payload)
  return {
    ...(hashes.length > 0 && { replay: { conversationId, hashes } }),
    ...(documents.length > 0 && { documents: { conversationId, hashes: documents } }),
    ...(fields !== undefined && { fields })
  }
}

export function signatureHashesOf(history: readonly HistoryEntry[]): readonly string[] {
  const signatures = history.flatMap((entry) => signatureOf(entry) ?? [])
  return signaturesThatTell(signatures).map((signature) => hashOfPart(signature))
}

/** Parameters of a tool, to tell whether a text is exactly a call of it. */
export interface TextCallForm {
  /** Says of each parameter if its value is plain text or JSON. */
  readonly parameters: Readonly<Record<string, 'text' | 'json'>>
  readonly required: readonly string[]
}

/** 100 tools with 10 parameters have some 15,000. Calls of tools beyond are not recognised in a text. */
const MAX_NAME_CHARS = 65_536
const NAME_OVERHEAD_CHARS = 16

export function textCallFormsOf(payload: UpstreamPayload): Readonly<Record<string, TextCallForm>> {
  const forms: [name: string, form: TextCallForm][] = []
  let chars = 0
  for (const { toolSpecification } of toolsOf(payload)) {
    const form = toForm(toolSpecification.inputSchema.json)
    const more = charsOf([...Object.keys(form.parameters), ...form.required])
    if (chars + more > MAX_NAME_CHARS) continue
    chars += more
    forms.push([toolSpecification.name, form])
  }
  return Object.fromEntries(forms)
}

function charsOf(names: readonly string[]): number {
  return names.reduce((sum, name) => sum + name.length + NAME_OVERHEAD_CHARS, 0)
}

function toForm(schema: Readonly<Record<string, unknown>>): TextCallForm {
  const properties = asJsonObject(schema['properties']) ?? {}
  const parameters = Object.entries(properties).map(
    ([name, property]) => [name, takesText(property) ? 'text' : 'json'] as const
  )
  const { required } = schema
  const names = Array.isArray(required) ? required : []
  return {
    parameters: Object.fromEntries(parameters),
    required: names.filter((name) => typeof name === 'string')
  }
}

function takesText(property: unknown): boolean {
  const type = asJsonObject(property)?.['type']
  return type === 'string' || (Array.isArray(type) && type.includes('string'))
}

import {
  type ConversationParts,
  type ConversationStart,
  hashOfPart
} from '../../kiro/conversation/conversation-memory.ts'
import type { ConversationIds } from '../../kiro/conversation/ids.ts'
import { type RequestFields, requestFieldsOf } from '../../kiro/conversation/refused-fields.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import type { Conversation, ToolChoice } from '../../kiro/wire/message.ts'
import type { UpstreamPayload } from '../../kiro/wire/payload.ts'
import { asJsonObject } from '../../shared/json.ts'
import type { JsonForm } from './json-answer.ts'
import {
  nameSearchTool,
  type OpeningSearch,
  openingSearch,
  searchTool,
  type WebSearchWish
} from './search-tool.ts'

/** The client's wishes about its answer, as its dialect has read them. */
export interface AskedAnswer<Own = unknown> {
  /** Its name in `dialects/dialect.ts`. */
  readonly dialect: string
  /** As the client named it; echoed in the answer. */
  readonly model: string
  readonly isStream: boolean
  readonly stopSequences: readonly string[]
  /** `parallel_tool_calls: false`: only the first call of the answer is delivered. */
  readonly isSingleToolCall: boolean
  /** The answer must be JSON: a code fence around the whole of it is removed. */
  readonly isJsonAnswer: boolean
  /** The client may refer to parts of the answer by their ids later on. */
  readonly keepsItems: boolean
  /** The client keeps reasoning that it can't read, whether it asked for any or not, and brings it back. */
  readonly isSealed?: true
  /** Facts for the writer of the dialect alone. */
  readonly own: Own
}

/**
 * Everything that the answering side must remember of a request. Made with the upstream payload by a
 * dialect's `request.ts`; plain data and small, since it may come back from a thread.
 */
export interface ReplyPlan<Own = unknown> extends RefusableParts {
  readonly asked: AskedAnswer<Own>
  /** As sent upstream. */
  readonly upstreamModel: string
  /** Ids of the conversation upstream, in either form of request. */
  readonly ids: ConversationIds
  /** Upstream tool name → the client's, only where they differ. */
  readonly toolNames: Readonly<Record<string, string>>
  /** Source of the reasoning: none, events of its own, or tags in the text. */
  readonly reasoning: 'none' | 'native' | 'tags'
  /** The client's bound on the answer in tokens, where the upstream does not keep it. */
  readonly maxOutputTokens?: number
  /** The tools on offer by upstream name, to recognise calls that a model writes as text. */
  readonly textCallForms: Readonly<Record<string, TextCallForm>>
  /** Local estimate of the request's tokens, used until the upstream says better. */
  readonly inputTokens: number
  /** The answer may take much longer to begin than others: it is a large request, or one that asks for much thought. */
  readonly isSlow: boolean
  /** The model's input window in tokens, to turn the upstream's percentage into tokens. */
  readonly contextWindow: number
  /** Reasons to ask more than once; `null` where the first answer is the answer. */
  readonly rounds: RoundPlan | null
  /** Beginning of the conversation; left out where it cannot be told from others. */
  readonly start?: ConversationStart
  /** Codes of the repairs that were made, in order, without duplicates. */
  readonly repairs: readonly string[]
  /** Ids of the rules that the request may break in the upstream's eyes, see `Borderline`. */
  readonly borderline: readonly string[]
  /** Memory that the plan takes until the answer has ended, see `keptBytesOf()`. */
  readonly keptBytes: number
}

/** The parts of a request that the upstream may refuse by themselves, where there are such. */
export interface RefusableParts {
  /** Reasoning that goes back to the model. */
  readonly replay?: ConversationParts
  /** Documents that go up as they are. */
  readonly documents?: ConversationParts
  /** Fields of the request beside the conversation. */
  readonly fields?: RequestFields
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

/** Reasons for the gateway to ask the model more than once for one answer. */
export interface RoundPlan {
  /** The text must be this; `null` for any text. */
  readonly jsonForm: JsonForm | null
  /** The answer must call a tool; `null` where it need not. */
  readonly dueCall: DueCall | null
  readonly webSearch: WebSearchPlan | null
}

/** A call that the client insists on. */
export type DueCall =
  /** A call of this tool, by the client's name for it. */
  | { readonly name: string }
  /** A call of any tool; the model is reminded of these. */
  | { readonly name: null; readonly oneOf: readonly string[] }

/** The model knows the others from the request. */
const MaxReminded = 8

/** Searches that the gateway makes for the model. */
export interface WebSearchPlan extends WebSearchWish {
  /** Under which the model is offered it. */
  readonly toolName: string
  /** To be made before the model is asked. */
  readonly opening: OpeningSearch | null
}

/** The search that will be made for the model, and the conversation in which it is offered. */
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
  // First, so that no other tool's cleaned-up name can take its own.
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

/** The client's names of the tools that a payload offers. */
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

/** Returns the call that the client insists on, if the tool can be called at all. */
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

/**
 * A refusal is repeated as long as one of its signatures is there: the first is for as long as a conversation only grows, some
 * of the newest are where a client leaves out the oldest.
 */
const MAX_SIGNATURES = 64

function signaturesThatTell(signatures: readonly string[]): readonly string[] {
  if (signatures.length <= MAX_SIGNATURES) return signatures
  return [...signatures.slice(0, 1), ...signatures.slice(1 - MAX_SIGNATURES)]
}

export function refusablePartsOf(payload: UpstreamPayload, conversationId: string): RefusableParts {
  const { history = [], currentMessage } = payload.conversationState
  const signatures: string[] = []
  const documents: string[] = []
  for (const entry of [...history, currentMessage]) {
    if ('userInputMessage' in entry) {
      for (const { source } of entry.userInputMessage.documents ?? [])
        documents.push(hashOfPart(source.bytes))
      continue
    }
    const { reasoningContent: content } = entry.assistantResponseMessage
    if (content === undefined) continue
    const isOpaque = 'redactedContent' in content
    signatures.push(isOpaque ? content.redactedContent : content.reasoningText.signature)
  }
  const hashes = signaturesThatTell(signatures).map((signature) => hashOfPart(signature))
  const fields = payload.additionalModelRequestFields && requestFieldsOf(payload)
  return {
    ...(hashes.length > 0 && { replay: { conversationId, hashes } }),
    ...(documents.length > 0 && { documents: { conversationId, hashes: documents } }),
    ...(fields !== undefined && { fields })
  }
}

/** Facts about a tool that tell whether a text is exactly a call of it. */
export interface TextCallForm {
  /** Parameter → whether its value stands as it is, or as JSON. */
  readonly parameters: Readonly<Record<string, 'text' | 'json'>>
  readonly required: readonly string[]
}

/**
 * Characters of parameters' names that are remembered for as long as the answer lasts: 100 tools with 10 parameters
 * have some 15,000. A call of a tool beyond that is not recognised in a text.
 */
const MAX_NAME_CHARS = 65_536
/** Overhead of a name, in characters. */
const NAME_OVERHEAD_CHARS = 16

/** The forms of the tools on offer, by the names that the model knows. */
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

import type { ReasoningWish } from '../../kiro/conversation/reasoning.ts'
import { AUTO_MODEL } from '../../kiro/models/models.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import type { TokenCount } from '../../kiro/tokens/token-gauge.ts'
import { type Conversation, isBlank, type Message } from '../../kiro/wire/message.ts'
import { GatewayError } from '../../shared/errors.ts'
import { type JsonObject, textMember } from '../../shared/json.ts'
import type { WriterOptions } from '../answer/answer-writer.ts'
import { toCountMembers } from '../answer/usage.ts'
import { OpenAiErrors } from '../answer/openai-error.ts'
import { checkShape, invalidPart } from '../plan/json-body.ts'
import type { ReadTools } from '../request/settled-tools.ts'
import type { PartedConversation } from '../request/settling.ts'
import { type ClientRequest, effortWish, type RequestOptions } from '../request/to-upstream.ts'
import { echoOf, echoOfTools } from './echo.ts'
import { COMPACTION_TRIGGER, type ResponsesWishes, toResponseId } from './output-items.ts'
import { DeclaredTools } from './declared-tools.ts'
import { chainTo, earlierParts } from './earlier-items.ts'
import { type InputItem, itemReferencesOf, itemsOf, listItems, previousIdsOf } from './input.ts'
import { ItemReader, type StrayOutput } from './items.ts'
import { Items, type ResponsesBody, ResponsesBodyCheck } from './schema.ts'
import { allowedNames, allowedSearch, declareTools, readToolChoice } from './tools.ts'
import type { SummaryKeys } from '../../shared/sealed-summary.ts'
import { toStoredInput } from './stored-response.ts'
import { ResponseWriter } from './answer.ts'

export const OpenAiResponses = {
  paths: ['/v1/responses', '/responses'],
  compactPath: '/compact',
  counter: {
    path: '/input_tokens',
    toAnswer: (count: TokenCount) => ({
      object: 'response.input_tokens',
      input_tokens: count.input,
      ...toCountMembers(count)
    })
  },
  errors: OpenAiErrors,
  read: readRequest,
  likeness: (body: JsonObject) =>
    body['messages'] === undefined && ('input' in body || 'instructions' in body) ? Infinity : 0,
  readAnswers,
  itemReferencesOf,
  previousIdsOf,
  toStoredInput,
  toAnswerId: toResponseId,
  createWriter: (options: WriterOptions<ResponsesWishes>) => new ResponseWriter(options)
}

function readAnswers(json: JsonObject, answers: readonly Uint8Array[]) {
  const stored = itemsOf(answers)
  const previousId = textMember(json, 'previous_response_id')
  const earlier = previousId === null ? [] : earlierParts(previousId, stored).flat()
  return { stored, earlier }
}

/** Items by the part in which they came. The request's own, the last, keep their places in errors; others were read before. */
function allParts(
  { input, previous_response_id: previousId }: ResponsesBody,
  stored: JsonObject
): readonly (readonly InputItem[])[] {
  const earlier = previousId ? earlierParts(previousId, stored) : []
  const referred = new Set<JsonObject>()
  return [...earlier.map((items) => listItems(items, stored, referred)), listItems(input, stored)]
}

/** The answer to a compaction is one item, made of text. */
const SUMMARY_ALONE = {
  tool_choice: 'none',
  reasoning: { effort: 'none' },
  text: null,
  response_format: null,
  max_output_tokens: null // it would cut the summary off
} as const

/**
 * A call to compact has no other wishes, and must name its model: the specification requires it there.
 * @throws {GatewayError} GW_BODY_INVALID
 */
function asCompactCall({ input, ...rest }: JsonObject): JsonObject {
  if (!isGiven(rest['model'])) {
    throw invalidPart('model', 'is missing; name the model that is to compact the conversation')
  }
  return { ...rest, input: input ?? [], stream: false, store: false }
}

function readRequest(
  json: JsonObject,
  repairs: Repairs,
  {
    compaction,
    before,
    stored = {}
  }: Pick<RequestOptions, 'compaction' | 'before'> & { readonly stored?: JsonObject | undefined }
): ClientRequest {
  const isCompactCall = compaction?.isCall === true
  const sent = checkShape(ResponsesBodyCheck, isCompactCall ? asCompactCall(json) : json, '')
  refuseStateOnServer(sent)
  const declared = new DeclaredTools(repairs)
  const sentParts = sinceCompaction(allParts(sent, stored))
  const isSummed = isCompactCall && sentParts.some((part) => part.length > 0)
  const parts = isSummed ? [...sentParts, [TRIGGER]] : sentParts
  const items = parts.flat()
  const isCompaction = items.some(({ type }) => type === COMPACTION_TRIGGER)
  const request = isCompaction ? { ...sent, ...SUMMARY_ALONE } : sent
  const toolNotes =
    declareAgain(before?.tools?.read, declared) ??
    declareTools(request.tools, { path: 'tools', declared, repairs })
  const readTools = before?.tools?.read ?? {
    forms: declared.forms,
    webSearch: declared.webSearch,
    notes: toolNotes,
    echo: echoOfTools(sent)
  }
  const { conversation, growth } = readConversation(request, parts, {
    declared,
    toolNotes,
    repairs,
    compaction,
    // Calls among turns that were converted before are not known here.
    firstKnown: sent.previous_response_id && !before ? sentParts.length - 1 : Infinity
  })
  return {
    conversation,
    growth,
    readTools,
    reasoning: readReasoning(request, repairs),
    maxTokens: request.max_output_tokens ?? undefined,
    jsonFormat: formatOf(request),
    webSearch: allowedSearch(request.tool_choice, declared),
    sessionKey: sessionKeyOf(request),
    user: request.user || undefined,
    before: chainTo(sent.previous_response_id, stored),
    answer: {
      model: request.model ?? AUTO_MODEL,
      isStream: request.stream === true,
      stopSequences: [],
      isSingleToolCall: request.parallel_tool_calls === false,
      keepsItems: request.store !== false,
      ...(Array.isArray(request.include) &&
        request.include.includes(SEALED) && { isSealed: true as const })
    },
    own: (offered): ResponsesWishes => ({
      toolForms: declared.formsOf(offered),
      echo: echoOf(sent, readTools.echo),
      isCompaction,
      isCompactCall
    })
  }
}

/** Leaves out what a compaction that was asked for among the items stands for, and that request. Keeps the number of parts. */
function sinceCompaction(
  parts: readonly (readonly InputItem[])[]
): readonly (readonly InputItem[])[] {
  const items = parts.flat()
  const made = items.findLastIndex(({ type }) => type === 'compaction')
  const before = items.slice(0, Math.max(0, made))
  let left = before.findLastIndex(({ type }) => type === COMPACTION_TRIGGER) + 1
  return parts.map((part) => {
    const since = part.slice(left)
    left -= part.length - since.length
    return since
  })
}

const TRIGGER: InputItem = { type: COMPACTION_TRIGGER, item: {}, path: 'input' }

const SEALED = 'reasoning.encrypted_content'

/**
 * Ignoring state on the server would lose the conversation.
 * @throws {GatewayError} GW_BODY_INVALID
 */
function refuseStateOnServer(request: ResponsesBody): void {
  const { background, conversation, prompt } = request
  if (background === true) {
    throw invalidPart('background', 'must be false: background responses are not supported')
  }
  if (isGiven(conversation)) {
    throw invalidPart('conversation', 'conversations are not stored here; send all items as input')
  }
  if (isGiven(prompt)) {
    throw invalidPart(
      'prompt',
      'prompts are not stored here; send the text as instructions or input'
    )
  }
}

/**
 * Returns the refusal of an output without its call. A request with `previous_response_id` goes on from a conversation that is
 * known as a whole. Clients that send the conversation themselves may have cut the call off; such an output becomes words.
 */
function strayOutput({ path, callId }: StrayOutput): GatewayError {
  const message =
    `No tool call found for function call output with call_id '${callId.slice(0, 100)}' in the conversation that the request ` +
    'goes on from. Send the output together with the call that it answers.'
  return new GatewayError('GW_BODY_INVALID', undefined, { message, param: `${path}.call_id` })
}

function readConversation(
  request: ResponsesBody,
  parts: readonly (readonly InputItem[])[],
  {
    declared,
    toolNotes,
    repairs,
    compaction,
    firstKnown
  }: {
    readonly declared: DeclaredTools
    readonly toolNotes: readonly string[]
    readonly repairs: Repairs
    readonly compaction: SummaryKeys | undefined
    /** Index of the first part of which everything that precedes it is known; Infinity where there is none. */
    readonly firstKnown: number
  }
): { readonly conversation: Conversation; readonly growth: PartedConversation } {
  const items = parts.flat()
  const instructions = request.instructions ?? ''
  if (items.length === 0 && isBlank(instructions)) throw invalidPart('input', 'must not be empty')
  const namespaceNotes = [...toolNotes, ...declareListed(items, declared, repairs)]
  const reader = new ItemReader(declared, repairs, compaction)
  const begins: number[] = []
  for (const [index, part] of parts.entries()) {
    // Reasoning at the end of a part waits for the next one.
    begins.push(reader.isBetweenMessages ? reader.sorted.messages.length : 0)
    const strays = reader.strayOutputs.length
    for (const item of part) reader.read(item)
    const stray = reader.strayOutputs[strays]
    if (stray !== undefined && index >= firstKnown) throw strayOutput(stray)
  }
  const toolChoice = readToolChoice(request.tool_choice, declared)
  const allowed = allowedNames(request.tool_choice, declared)
  const { messages } = reader.sorted
  const conversation = {
    systemParts: [instructions, ...reader.sorted.systemParts],
    messages,
    instructions: toolChoice.type === 'none' ? [] : namespaceNotes,
    tools: declared.definitions.filter(({ name }) => allowed?.has(name) ?? true),
    toolChoice
  }
  const isPlain = !reader.hasDistantIds && items.every(isPlainItem)
  const settled = begins.findLastIndex((begin) => isAnswerAt(messages, begin))
  return {
    conversation,
    growth: { isPlain, parts: Math.max(0, settled), messages: begins[settled] ?? 0 }
  }
}

/** Items that change what others mean, or ask for another kind of answer. */
const OF_OTHERS: ReadonlySet<string> = new Set([
  'additional_tools',
  'tool_search_output',
  COMPACTION_TRIGGER
])

function isPlainItem({ type, isReferred }: InputItem): boolean {
  return !OF_OTHERS.has(type) && isReferred !== true
}

/** An answer begins there: what precedes it cannot change any more. */
function isAnswerAt(messages: readonly Message[], at: number): boolean {
  return messages[at - 1]?.role === 'user' && messages[at]?.role === 'assistant'
}

/** Declares tools that were read before, and returns their notes. `null` if there are none. */
function declareAgain(
  read: ReadTools | undefined,
  declared: DeclaredTools
): readonly string[] | null {
  if (read === undefined) return null
  for (const form of read.forms) declared.declare(form, { description: '', schema: null })
  if (read.webSearch !== undefined) declared.declareSearch(read.webSearch)
  return read.notes
}

/** Newer models of Codex list tools in the input, and found tools stay callable for the rest of the conversation. */
function declareListed(
  items: readonly InputItem[],
  declared: DeclaredTools,
  repairs: Repairs
): readonly string[] {
  const notes: string[] = []
  for (const { type, item, path } of items) {
    if (type !== 'additional_tools' && type !== 'tool_search_output') continue
    const { tools } = checkShape(Items.toolList, item, path)
    const found = declareTools(tools, { path: `${path}.tools`, declared, repairs })
    // Found tools are described where they were found, so that the system text stays the same for caches.
    if (type === 'additional_tools') notes.push(...found)
  }
  return notes
}

/** Asking for a reasoning summary asks for reasoning, with or without an effort. */
function readReasoning({ reasoning }: ResponsesBody, repairs: Repairs): ReasoningWish {
  const { effort, summary } = reasoning ?? {}
  if (effort !== undefined && effort !== null)
    return effortWish(effort, repairs, 'reasoning.effort')
  return { mode: summary && summary !== 'none' ? 'on' : 'unsaid' }
}

function formatOf({ text, response_format: nested }: ResponsesBody) {
  const format = text?.format ?? nested
  if (!format) return undefined
  const { type, schema, json_schema: wrapped } = format
  return { type, schema: schema ?? wrapped?.schema, path: 'text.format.schema' }
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null && value !== ''
}

function sessionKeyOf(body: ResponsesBody): string | undefined {
  const thread = textMember(body.client_metadata ?? {}, 'thread_id')
  return body.prompt_cache_key || thread || undefined
}

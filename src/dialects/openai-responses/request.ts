import type { ReasoningWish } from '../../kiro/conversation/reasoning.ts'
import { AUTO_MODEL } from '../../kiro/models/models.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import type { TokenCount } from '../../kiro/tokens/token-gauge.ts'
import { type Conversation, isBlank } from '../../kiro/wire/message.ts'
import { type JsonObject, textMember } from '../../shared/json.ts'
import type { WriterOptions } from '../answer/answer-writer.ts'
import { toCountMembers } from '../answer/count-members.ts'
import { OpenAiErrors } from '../answer/openai-error.ts'
import { invalidPart } from '../plan/json-body.ts'
import { checkShape } from '../request/shape.ts'
import { type ClientRequest, effortWish, type RequestOptions } from '../request/to-upstream.ts'
import { echoOf } from './echo.ts'
import { COMPACTION_TRIGGER, type ResponsesWishes, toResponseId } from './output-items.ts'
import { DeclaredTools } from './declared-tools.ts'
import { chainTo, earlierItems } from './earlier-items.ts'
import { type InputItem, itemReferencesOf, itemsOf, listItems, previousIdsOf } from './input.ts'
import { ItemReader } from './items.ts'
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
  itemReferencesOf,
  previousIdsOf,
  toStoredInput,
  toAnswerId: toResponseId,
  createWriter: (options: WriterOptions<ResponsesWishes>) => new ResponseWriter(options)
}

/** The request's own items keep their places in errors; those before it were read once before. */
function allItems(
  { input, previous_response_id: previousId }: ResponsesBody,
  stored: JsonObject
): readonly InputItem[] {
  if (!previousId) return listItems(input, stored)
  const earlier = listItems(earlierItems(previousId, stored), stored)
  return [...earlier, ...listItems(input, stored)]
}

/** The answer to a compaction is one item, made of text. */
const SUMMARY_ALONE = {
  tool_choice: 'none',
  reasoning: { effort: 'none' },
  text: null,
  response_format: null
} as const

/** A call to compact has no other wishes. */
function asCompactCall({ input, ...rest }: JsonObject): JsonObject {
  return { ...rest, input: input ?? [], max_output_tokens: null, stream: false, store: false }
}

function readRequest(
  json: JsonObject,
  repairs: Repairs,
  { answers = [], compaction }: Pick<RequestOptions, 'answers' | 'compaction'>
): ClientRequest {
  const isCompactCall = compaction?.isCall === true
  const sent = checkShape(ResponsesBodyCheck, isCompactCall ? asCompactCall(json) : json, '')
  refuseStateOnServer(sent)
  const declared = new DeclaredTools(repairs)
  const stored = itemsOf(answers)
  const all = allItems(sent, stored)
  const items = isCompactCall && all.length > 0 ? [...all, TRIGGER] : all
  const isCompaction = items.some(({ type }) => type === COMPACTION_TRIGGER)
  const request = isCompaction ? { ...sent, ...SUMMARY_ALONE } : sent
  return {
    conversation: readConversation(request, items, { declared, repairs, compaction }),
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
      echo: echoOf(sent),
      isCompaction,
      isCompactCall
    })
  }
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

function readConversation(
  request: ResponsesBody,
  items: readonly InputItem[],
  {
    declared,
    repairs,
    compaction
  }: {
    readonly declared: DeclaredTools
    readonly repairs: Repairs
    readonly compaction: SummaryKeys | undefined
  }
): Conversation {
  const instructions = request.instructions ?? ''
  if (items.length === 0 && isBlank(instructions)) throw invalidPart('input', 'must not be empty')
  const namespaceNotes = declareAll(request, items, declared, repairs)
  const reader = new ItemReader(declared, repairs, compaction)
  for (const item of items) reader.read(item)
  const toolChoice = readToolChoice(request.tool_choice, declared)
  const allowed = allowedNames(request.tool_choice, declared)
  return {
    systemParts: [instructions, ...reader.sorted.systemParts],
    messages: reader.sorted.messages,
    instructions: toolChoice.type === 'none' ? [] : namespaceNotes,
    tools: declared.definitions.filter(({ name }) => allowed?.has(name) ?? true),
    toolChoice
  }
}

/** Newer models of Codex list tools in the input, and found tools stay callable for the rest of the conversation. */
function declareAll(
  request: ResponsesBody,
  items: readonly InputItem[],
  declared: DeclaredTools,
  repairs: Repairs
): readonly string[] {
  const notes = [...declareTools(request.tools, { path: 'tools', declared, repairs })]
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

import type { ReasoningWish } from '../../kiro/conversation/reasoning.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import type {
  Conversation,
  Message,
  Role,
  ToolChoice,
  ToolDefinition
} from '../../kiro/wire/message.ts'
import { isJsonObject, type JsonObject } from '../../shared/json.ts'
import type { WriterOptions } from '../answer/answer-writer.ts'
import { OpenAiErrors } from '../answer/openai-error.ts'
import { checkShape, invalidPart } from '../plan/json-body.ts'
import {
  findSearchTool,
  isSearchTool,
  readSearchWish,
  type WebSearchWish
} from '../plan/search-tool.ts'
import { readContent, readResultText } from '../request/blocks.ts'
import { MessageDraft, readFunction, SortedMessages, toToolInput } from '../request/draft.ts'
import { countSigns } from '../request/shape.ts'
import { type ClientRequest, effortWish, readStops } from '../request/to-upstream.ts'
import { type ChatWishes, ChatWriter } from './answer.ts'
import { type ChatBody, ChatBodyCheck, type ChatMessage, ChatSigns } from './schema.ts'

export const OpenAiChat = {
  paths: ['/v1/chat/completions', '/chat/completions'],
  errors: OpenAiErrors,
  read: readRequest,
  likeness: (body: JsonObject) => countSigns(body, ChatSigns),
  toAnswerId: (hex: string) => `chatcmpl-${hex}`,
  createWriter: (options: WriterOptions<ChatWishes>) => new ChatWriter(options)
}

function readRequest(json: JsonObject, repairs: Repairs): ClientRequest {
  const chat = checkShape(ChatBodyCheck, json, '')
  if ((chat.n ?? 1) > 1) throw invalidPart('n', 'must be 1: one answer at a time is supported')
  const isStream = chat.stream === true
  const isLegacyCall = (chat.functions ?? []).length > 0 && (chat.tools ?? []).length === 0
  const { systemParts, messages } = readMessages(chat.messages, repairs)
  return {
    conversation: { systemParts, messages, instructions: [], ...readTools(chat, repairs) },
    reasoning: readReasoning(chat, repairs),
    maxTokens: chat.max_completion_tokens ?? chat.max_tokens ?? undefined,
    jsonFormat: formatOf(chat),
    webSearch: readSearch(chat),
    sessionKey: chat.prompt_cache_key || undefined,
    user: chat.user || undefined,
    answer: {
      model: chat.model,
      isStream,
      stopSequences: readStops(chat.stop, 'stop'),
      isSingleToolCall: isLegacyCall || chat.parallel_tool_calls === false,
      keepsItems: false
    },
    own: (): ChatWishes => ({
      wantsUsage: !isStream || chat.stream_options?.include_usage === true,
      isLegacyCall
    })
  }
}

function readReasoning(
  { reasoning_effort: effort, reasoning }: ChatBody,
  repairs: Repairs
): ReasoningWish {
  const source = (effort ?? null) === null ? 'reasoning.effort' : 'reasoning_effort'
  const word = effort ?? reasoning?.effort ?? null
  return word === null ? { mode: 'unsaid' } : effortWish(word, repairs, source)
}

/** A search is asked for by a member of its own, or by a tool as in OpenAI's other APIs. */
function readSearch({ web_search_options: options, tools }: ChatBody): WebSearchWish | undefined {
  if (options) return readSearchWish(options, 'web_search_options')
  return tools ? findSearchTool(tools, 'tools') : undefined
}

function formatOf({ response_format: format }: ChatBody) {
  if (!format) return undefined
  const { type, json_schema: wrapped } = format
  return { type, schema: wrapped?.schema, path: 'response_format.json_schema.schema' }
}

function readMessages(messages: readonly ChatMessage[], repairs: Repairs): SortedMessages {
  const sorted = new SortedMessages(repairs)
  const functionIds = new Map<string, string>()
  for (const [index, message] of messages.entries()) {
    const { role } = message
    const context = { index, repairs, functionIds }
    if (role === 'tool' || role === 'function') {
      sorted.messages.push(readResult(message, context))
      continue
    }
    const draft = readTurn(role === 'assistant' ? 'assistant' : 'user', message, context)
    sorted.add(role, draft, `messages[${index}]`)
  }
  return sorted
}

interface MessageContext {
  readonly index: number
  readonly repairs: Repairs
  readonly functionIds: Map<string, string>
}

function readTurn(role: Role, message: ChatMessage, context: MessageContext): MessageDraft {
  const draft = new MessageDraft(role)
  const path = `messages[${context.index}].content`
  readContent(message.content, { draft, path, repairs: context.repairs })
  draft.addText(message.refusal ?? '')
  readCalls(message, draft, context)
  return draft
}

function readCalls(
  { tool_calls: calls, function_call: legacy }: ChatMessage,
  draft: MessageDraft,
  { index, repairs, functionIds }: MessageContext
): void {
  for (const [at, { id, function: called, custom }] of (calls ?? []).entries()) {
    const source = `messages[${index}].tool_calls[${at}]`
    const input = called?.arguments ?? (custom ? { input: custom.input ?? '' } : undefined)
    const name = called?.name ?? custom?.name
    if (name === undefined) repairs.note('block-dropped', source)
    else {
      const args = toToolInput(input, repairs, source)
      draft.toolCalls.push({ id: id ?? '', name, input: args, source })
    }
  }
  if (legacy === undefined || legacy === null) return
  const id = `call_${index}`
  functionIds.set(legacy.name, id)
  const source = `messages[${index}].function_call`
  const input = toToolInput(legacy.arguments, repairs, source)
  draft.toolCalls.push({ id, name: legacy.name, input, source })
}

function readResult(message: ChatMessage, context: MessageContext): Message {
  const { index, repairs, functionIds } = context
  const draft = new MessageDraft('user')
  const source = `messages[${index}]`
  const path = `${source}.content`
  const text = readResultText(message.content, { draft, path, repairs })
  const id = message.tool_call_id ?? functionIds.get(message.name ?? '') ?? ''
  draft.toolResults.push({ id, text, isError: false, source })
  draft.addText(message.refusal ?? '')
  readCalls(message, draft, context)
  return draft.toMessage(source)
}

function readTools(chat: ChatBody, repairs: Repairs): Pick<Conversation, 'tools' | 'toolChoice'> {
  const tools: ToolDefinition[] = []
  for (const [index, tool] of (chat.tools ?? []).entries()) {
    const source = `tools[${index}]`
    if (isSearchTool(tool)) continue // made by the gateway
    // Only OpenAI can run tools of other types.
    const isFunction = isJsonObject(tool['function']) || (tool['type'] ?? 'function') === 'function'
    if (isFunction) tools.push(readFunction(tool, source))
    else repairs.note('server-tool-dropped', source)
  }
  for (const [index, one] of (chat.functions ?? []).entries()) {
    tools.push(readFunction(one, `functions[${index}]`))
  }
  const allowed = allowedNames(chat.tool_choice)
  return {
    tools: allowed === undefined ? tools : tools.filter((tool) => allowed.has(tool.name)),
    toolChoice: readToolChoice(chat)
  }
}

function readToolChoice({ tool_choice: choice, function_call: legacy }: ChatBody): ToolChoice {
  if (choice === undefined || choice === null) {
    if (typeof legacy === 'string') return { type: legacy }
    return legacy ? { type: 'named', name: legacy.name } : { type: 'auto' }
  }
  if (typeof choice === 'string') return { type: choice === 'any' ? 'required' : choice }
  if (choice.allowed_tools) {
    return { type: choice.allowed_tools.mode === 'required' ? 'required' : 'auto' }
  }
  const name = choice.function?.name ?? choice.custom?.name ?? choice.name
  if (typeof name === 'string') return { type: 'named', name }
  const { type } = choice
  if (type === 'auto' || type === 'none' || type === 'required') return { type }
  if (type === 'any') return { type: 'required' }
  throw invalidPart(
    'tool_choice.function.name',
    'is required: it names the tool that must be called'
  )
}

function allowedNames(choice: ChatBody['tool_choice']): ReadonlySet<unknown> | undefined {
  if (!isJsonObject(choice) || !choice.allowed_tools) return undefined
  const { tools } = choice.allowed_tools
  return new Set(
    tools?.map((tool) => (isJsonObject(tool['function']) ? tool['function']['name'] : tool['name']))
  )
}

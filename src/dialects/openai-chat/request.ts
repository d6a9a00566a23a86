import type { Conversation } from '../../kiro/message.ts'
import type { ReasoningWish } from '../../kiro/reasoning.ts'
import { Repairs } from '../../kiro/repairs.ts'
import { effortWish, jsonInstruction, readStops } from '../answer-wishes.ts'
import { checkShape } from '../check-shape.ts'
import { type JsonFormat, readJsonForm } from '../json-answer.ts'
import { invalidPart, parseJsonBody } from '../json-body.ts'
import type { RequestOptions } from '../request-options.ts'
import { findSearchTool, readSearchWish, type WebSearchWish } from '../search-tool.ts'
import { toUpstream, type UpstreamRequest } from '../upstream-request.ts'
import { readMessages } from './messages.ts'
import { type ChatBody, ChatBodyCheck } from './schema.ts'
import { readTools } from './tools.ts'

/**
 * A Chat Completions request as the upstream takes it (kiro-protocol §10.2.1).
 *
 * @throws {GatewayError} GW_BODY_INVALID, GW_MODEL_UNKNOWN
 */
export function toUpstreamRequest(
  body: Uint8Array,
  options: RequestOptions,
  repairs = new Repairs()
): UpstreamRequest {
  const chat = checkShape(ChatBodyCheck, parseJsonBody(body, options.heapBytes), '')
  if ((chat.n ?? 1) > 1) throw invalidPart('n', 'must be 1: one answer at a time is supported')
  const isStream = chat.stream === true
  const isLegacyCall = (chat.functions ?? []).length > 0 && (chat.tools ?? []).length === 0
  return toUpstream(
    {
      dialect: 'openai-chat',
      bodyBytes: body.byteLength,
      model: chat.model,
      conversation: readConversation(chat, repairs),
      reasoning: readReasoning(chat, repairs),
      maxTokens: chat.max_completion_tokens ?? chat.max_tokens ?? undefined,
      stopSequences: readStops(chat.stop, 'stop'),
      isStream,
      wantsUsage: !isStream || chat.stream_options?.include_usage === true,
      isSingleToolCall: isLegacyCall || chat.parallel_tool_calls === false,
      isJsonAnswer: isJson(chat),
      jsonForm: readJsonForm(jsonFormat(chat), 'response_format.json_schema.schema'),
      webSearch: readSearch(chat),
      sessionKey: chat.prompt_cache_key ?? chat.user ?? undefined,
      isLegacyCall
    },
    options,
    repairs
  )
}

function readConversation(chat: ChatBody, repairs: Repairs): Conversation {
  const { systemParts, messages } = readMessages(chat.messages, repairs)
  const instructions = isJson(chat)
    ? [jsonInstruction(chat.response_format?.json_schema?.schema)]
    : []
  return { systemParts, messages, instructions, ...readTools(chat, repairs) }
}

function readReasoning(
  { reasoning_effort: effort, reasoning }: ChatBody,
  repairs: Repairs
): ReasoningWish {
  const source = (effort ?? null) === null ? 'reasoning.effort' : 'reasoning_effort'
  const word = effort ?? reasoning?.effort ?? null
  return word === null ? { mode: 'unsaid' } : effortWish(word, repairs, source)
}

/** Asked for by a member of its own, or by a tool as in the vendor's other APIs. */
function readSearch({ web_search_options: options, tools }: ChatBody): WebSearchWish | undefined {
  if (options) return readSearchWish(options, 'web_search_options')
  return findSearchTool(tools, 'tools')
}

function jsonFormat({ response_format: format }: ChatBody): JsonFormat | undefined {
  return format ? { type: format.type, schema: format.json_schema?.schema } : undefined
}

function isJson({ response_format: format }: ChatBody): boolean {
  return format?.type === 'json_object' || format?.type === 'json_schema'
}

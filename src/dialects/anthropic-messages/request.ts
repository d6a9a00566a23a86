import type { Conversation } from '../../kiro/message.ts'
import type { ReasoningWish } from '../../kiro/reasoning.ts'
import { Repairs } from '../../kiro/repairs.ts'
import { GatewayError } from '../../shared/errors.ts'
import { jsonInstruction, knownEffort, readStops } from '../answer-wishes.ts'
import { checkShape } from '../check-shape.ts'
import { type JsonFormat, readJsonForm } from '../json-answer.ts'
import { parseJsonBody } from '../json-body.ts'
import type { RequestOptions } from '../request-options.ts'
import { findSearchTool } from '../search-tool.ts'
import { toUpstream, type UpstreamRequest } from '../upstream-request.ts'
import { readMessages, readSystem } from './messages.ts'
import { safeguardTypesOf } from './safeguards.ts'
import { type MessagesBody, MessagesBodyCheck } from './schema.ts'
import { sessionKeyOf } from './session-key.ts'
import { readToolChoice, readTools } from './tools.ts'

/**
 * A Messages request as the upstream takes it (kiro-protocol §10.4.1).
 *
 * @throws {GatewayError} GW_BODY_INVALID, GW_MODEL_UNKNOWN
 */
export function toUpstreamRequest(
  body: Uint8Array,
  options: RequestOptions,
  repairs = new Repairs()
): UpstreamRequest {
  const messages = checkShape(MessagesBodyCheck, parseJsonBody(body, options.heapBytes), '')
  refuseThread(messages)
  return toUpstream(
    {
      dialect: 'anthropic-messages',
      bodyBytes: body.byteLength,
      model: messages.model,
      conversation: readConversation(messages, repairs),
      reasoning: readReasoning(messages, repairs),
      maxTokens: messages.max_tokens ?? undefined,
      stopSequences: readStops(messages.stop_sequences, 'stop_sequences'),
      isStream: messages.stream === true,
      wantsUsage: true,
      isSingleToolCall: messages.tool_choice?.disable_parallel_tool_use === true,
      isJsonAnswer: jsonFormat(messages) !== undefined,
      jsonForm: readJsonForm(jsonFormat(messages), `${formatPath(messages)}.schema`),
      webSearch: findSearchTool(messages.tools, 'tools'),
      sessionKey: sessionKeyOf(messages.metadata?.user_id),
      safeguards: safeguardTypesOf(messages.safeguards)
    },
    options,
    repairs
  )
}

/** A thread's later requests come without their history, so ignoring the member would lose it. */
function refuseThread({ thread }: MessagesBody): void {
  if (thread === undefined || thread === null) return
  throw new GatewayError('GW_BODY_INVALID', undefined, {
    message: 'thread: message threads are not supported; send the whole conversation instead',
    param: 'thread',
    details: { error_code: 'thread_unsupported_request', unsupported: ['thread'] }
  })
}

function readConversation(body: MessagesBody, repairs: Repairs): Conversation {
  const system = readSystem(body.system, repairs)
  const { systemParts, messages } = readMessages(body.messages, repairs)
  const format = jsonFormat(body)
  return {
    systemParts: [...system, ...systemParts],
    messages,
    instructions: format === undefined ? [] : [jsonInstruction(format.schema)],
    tools: readTools(body, repairs),
    toolChoice: readToolChoice(body)
  }
}

/** `output_config.effort` without `thinking` sets the effort and asks for no reasoning to be shown. */
function readReasoning(body: MessagesBody, repairs: Repairs): ReasoningWish {
  const { thinking, output_config: config } = body
  const word = config?.effort
  const source = 'output_config.effort'
  const effort =
    word === undefined || word === null ? undefined : knownEffort(word, repairs, source)
  const said = effort === undefined ? {} : { effort, source }
  if (thinking === undefined || thinking === null) return { mode: 'unsaid', ...said }
  // Models that cannot think between tools only do not think at all, as with the vendor.
  if (thinking.type === 'disabled' || thinking.type === 'between_tools') return { mode: 'off' }
  const budget = thinking.type === 'enabled' ? thinking.budget_tokens : undefined
  return {
    mode: 'on',
    display: thinking.display === 'omitted' ? 'omitted' : 'summarized',
    ...said,
    ...(typeof budget === 'number' && { budgetTokens: budget })
  }
}

/** Older clients say it at the root. */
function formatPath({ output_config: config }: MessagesBody): string {
  return config?.format ? 'output_config.format' : 'output_format'
}

function jsonFormat(body: MessagesBody): JsonFormat | undefined {
  const format = body.output_config?.format ?? body.output_format
  return format?.type === 'json_schema' || format?.type === 'json_object' ? format : undefined
}

import type { ReasoningWish } from '../../kiro/conversation/reasoning.ts'
import type { Repairs } from '../../kiro/rules/repairs.ts'
import { countTextTokens } from '../../kiro/tokens/request-tokens.ts'
import { sumOfGroups } from '../../kiro/tokens/request-tokens.ts'
import type { TokenCount } from '../../kiro/tokens/token-gauge.ts'
import type { Conversation, ToolChoice, ToolDefinition } from '../../kiro/wire/message.ts'
import { GatewayError } from '../../shared/errors.ts'
import { type JsonObject, parseJsonObject, textMember } from '../../shared/json.ts'
import { checkShape, invalidPart } from '../plan/json-body.ts'
import type { WriterOptions } from '../answer/answer-writer.ts'
import { toCountMembers } from '../answer/usage.ts'
import { findSearchTool, isSearchTool } from '../plan/search-tool.ts'
import { readContent, readPart, readToolChanges } from '../request/blocks.ts'
import { MessageDraft, SortedMessages } from '../request/draft.ts'
import type { ReplyPlan } from '../plan/plan.ts'
import { countSigns } from '../request/shape.ts'
import { type ClientRequest, knownEffort, readStops } from '../request/to-upstream.ts'
import { MessageWriter, type MessagesWishes, safeguardTypesOf } from './answer.ts'
import { editContext, toAppliedEdits } from './context-edits.ts'
import { AnthropicErrors } from './error.ts'
import {
  type MessagesBody,
  MessagesBodyCheck,
  type MessagesMessage,
  MessagesSigns,
  ToolCheck
} from './schema.ts'
import { toStandingHeaders } from './standing.ts'

export const AnthropicMessages = {
  paths: ['/v1/messages', '/messages', '/anthropic/v1/messages'],
  // Claude Code, when it is signed in to a gateway.
  clientPaths: ['/api/oauth/usage', '/managed/settings', '/v1/metrics', '/v1/logs', '/v1/traces'],
  header: 'anthropic-version',
  counter: {
    path: '/count_tokens',
    toAnswer: (count: TokenCount, plan: ReplyPlan<MessagesWishes>) => ({
      input_tokens: count.input,
      ...toCountMembers(count),
      ...originalCount(count.input, plan)
    })
  },
  errors: AnthropicErrors,
  toStandingHeaders,
  read: readRequest,
  // Only this API requires `max_tokens`, which decides where nothing else does.
  likeness: (body: JsonObject) =>
    countSigns(body, MessagesSigns) + (body['max_tokens'] === undefined ? 0 : 0.5),
  toAnswerId: (hex: string) => `msg_${hex.slice(0, 24)}`,
  createWriter: (options: WriterOptions<MessagesWishes>) => new MessageWriter(options)
}

function readRequest(json: JsonObject, repairs: Repairs): ClientRequest {
  const body = checkShape(MessagesBodyCheck, json, '')
  refuseThread(body)
  const { edits } = body.context_management ?? {}
  const edited = edits && editContext(body, edits, (text) => countTextTokens(body.model, text))
  const messages = edited?.messages ?? body.messages
  return {
    conversation: readConversation({ ...body, messages }, repairs),
    reasoning: readReasoning(body, repairs),
    maxTokens: body.max_tokens ?? undefined,
    jsonFormat: formatOf(body),
    webSearch: body.tools ? findSearchTool(body.tools, 'tools') : undefined,
    sessionKey: sessionKeyOf(body.metadata?.user_id),
    answer: {
      model: body.model,
      isStream: body.stream === true,
      stopSequences: readStops(body.stop_sequences, 'stop_sequences'),
      isSingleToolCall: body.tool_choice?.disable_parallel_tool_use === true,
      keepsItems: false
    },
    own: (): MessagesWishes => ({
      safeguards: safeguardTypesOf(body.safeguards),
      ...(edited && { edits: edited.applied })
    })
  }
}

/** Count of the conversation before edits, for requests that ask for some. */
function originalCount(input: number, { asked, groups }: ReplyPlan<MessagesWishes>): object {
  const { edits } = asked.own
  if (edits === undefined) return {}
  const cleared = toAppliedEdits(edits, input / sumOfGroups(groups)).reduce(
    (sum, { cleared_input_tokens: tokens }) => sum + tokens,
    0
  )
  return { context_management: { original_input_tokens: input + cleared } }
}

/** A thread's later requests come without history; ignoring the member would lose it. */
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
  return {
    systemParts: [...system, ...systemParts],
    messages,
    instructions: [],
    tools: readTools(body, repairs),
    toolChoice: readToolChoice(body)
  }
}

/** `output_config.effort` without `thinking` sets the effort, but shows no reasoning. */
function readReasoning(body: MessagesBody, repairs: Repairs): ReasoningWish {
  const { thinking, output_config: config } = body
  const word = config?.effort
  const source = 'output_config.effort'
  const effort =
    word === undefined || word === null ? undefined : knownEffort(word, repairs, source)
  const said = effort === undefined ? {} : { effort, source }
  if (thinking === undefined || thinking === null) return { mode: 'unsaid', ...said }
  if (thinking.type === 'disabled') return { mode: 'off', ...said }
  const budget = thinking.type === 'enabled' ? thinking.budget_tokens : undefined
  return {
    mode: 'on',
    display: thinking.display === 'omitted' ? 'omitted' : 'summarized',
    ...said,
    ...(typeof budget === 'number' && { budgetTokens: budget })
  }
}

function formatOf({ output_config: config, output_format: format }: MessagesBody) {
  if (config?.format) return { ...config.format, path: 'output_config.format.schema' }
  return format ? { ...format, path: 'output_format.schema' } : undefined
}

/** Reads the messages. System turns between them, as Claude Code sends, keep their place unless they have expired. */
function readMessages(messages: readonly MessagesMessage[], repairs: Repairs): SortedMessages {
  const sorted = new SortedMessages(repairs)
  const lastUser = messages.findLastIndex(({ role }) => role === 'user')
  for (const [index, { role, content, clear_at: clearAt }] of messages.entries()) {
    if (role === 'system' && clearAt === 'next_user_message' && index < lastUser) continue
    const draft = new MessageDraft(role === 'assistant' ? 'assistant' : 'user')
    const source = `messages[${index}]`
    readContent(content, { draft, path: `${source}.content`, repairs })
    sorted.add(role, draft, source)
  }
  return sorted
}

function readSystem(system: MessagesBody['system'], repairs: Repairs): readonly string[] {
  const blocks = typeof system === 'string' ? [system] : (system ?? [])
  return blocks.map((block, index) => {
    const draft = new MessageDraft('user')
    readPart(block, {
      draft,
      path: typeof block === 'string' ? 'system' : `system[${index}]`,
      repairs
    })
    return draft.toText()
  })
}

/** Claude Code's stand-in for tools that it loads later; calling it is an error. */
const PLACEHOLDER = 'DeferredToolPlaceholder'

const FUNCTION_TYPES = new Set<unknown>([undefined, null, 'custom', 'function'])

function readTools({ tools, messages }: MessagesBody, repairs: Repairs): readonly ToolDefinition[] {
  const { added, withdrawn } = readToolChanges(messages)
  const listed = (tools ?? [])
    .map((tool, index) => ({ tool, source: `tools[${index}]` }))
    .filter(({ tool }) => !isSearchTool(tool)) // made by the gateway
  const definitions: ToolDefinition[] = []
  for (const { tool, source } of [...listed, ...added]) {
    if (withdrawn.has(tool['name'])) continue
    if (!FUNCTION_TYPES.has(tool['type'])) {
      repairs.note('server-tool-dropped', source)
      continue
    }
    const { name, description, input_schema: schema } = checkShape(ToolCheck, tool, source)
    if (name === PLACEHOLDER) {
      repairs.note('tool-placeholder-dropped', source)
      continue
    }
    const schemaSource = `${source}.input_schema`
    definitions.push({ name, description: description ?? '', schema, source, schemaSource })
  }
  return definitions
}

/** @throws {GatewayError} GW_BODY_INVALID if a tool must be called and is not named */
function readToolChoice({ tool_choice: choice }: MessagesBody): ToolChoice {
  if (choice === undefined || choice === null) return { type: 'auto' }
  if (choice.type === 'any') return { type: 'required' }
  if (choice.type !== 'tool') return { type: choice.type }
  if (choice.name) return { type: 'named', name: choice.name }
  throw invalidPart('tool_choice.name', 'is required: it names the tool that must be called')
}

const SESSION_SUFFIX = /session_([0-9a-f-]{36})$/i

/**
 * Claude Code sends JSON with a `session_id`, or a name that ends in `session_{uuid}`; other ids are the
 * key itself.
 */
function sessionKeyOf(userId: string | null | undefined): string | undefined {
  if (userId === undefined || userId === null || userId === '') return undefined
  const suffix = SESSION_SUFFIX.exec(userId)?.[1]
  const json = userId.startsWith('{') ? parseJsonObject(userId) : null
  return suffix ?? textMember(json ?? {}, 'session_id') ?? userId
}

import { isJsonObject, type JsonObject } from '../../shared/json.ts'
import type { DialectName } from '../dialect.ts'

/** Members that only one of the two dialects with `messages` has. */
const ANTHROPIC_MEMBERS = [
  'system',
  'stop_sequences',
  'thinking',
  'output_config',
  'output_format',
  'anthropic_version',
  'anthropic_beta',
  'context_management',
  'mcp_servers',
  'container',
  'top_k'
]
const CHAT_MEMBERS = [
  'functions',
  'function_call',
  'stream_options',
  'response_format',
  'n',
  'stop',
  'max_completion_tokens',
  'parallel_tool_calls',
  'reasoning_effort',
  'frequency_penalty',
  'presence_penalty',
  'logit_bias',
  'logprobs',
  'seed',
  'store',
  'user'
]
const CHAT_ROLES: readonly unknown[] = ['tool', 'function', 'developer']
const ANTHROPIC_BLOCKS: readonly unknown[] = [
  'tool_use',
  'tool_result',
  'thinking',
  'redacted_thinking',
  'image',
  'document'
]
const CHAT_BLOCKS: readonly unknown[] = ['image_url', 'input_audio', 'file', 'refusal']
/** Messages that are looked at. */
const MAX_MESSAGES = 200

/** The dialect that a body is most like. Where nothing tells, `max_tokens` does: Messages insists on it. */
export function detectDialect(body: JsonObject): DialectName {
  if (body['messages'] === undefined && ('input' in body || 'instructions' in body)) {
    return 'openai-responses'
  }
  const tools = listOf(body['tools'])
  const messages = listOf(body['messages']).slice(0, MAX_MESSAGES)
  const score =
    countIn(body, ANTHROPIC_MEMBERS) -
    countIn(body, CHAT_MEMBERS) +
    sum(tools.map(scoreTool)) +
    sum(messages.map(scoreMessage)) +
    scoreToolChoice(body['tool_choice'])
  if (score !== 0) return score > 0 ? 'anthropic-messages' : 'openai-chat'
  return body['max_tokens'] === undefined ? 'openai-chat' : 'anthropic-messages'
}

function countIn(body: JsonObject, names: readonly string[]): number {
  return names.filter((name) => body[name] !== undefined).length
}

/** Above 0 for Messages, below for Chat Completions. */
function scoreTool(tool: JsonObject): number {
  if (tool['input_schema'] !== undefined) return 1
  return tool['function'] !== undefined || tool['type'] === 'function' ? -1 : 0
}

function scoreMessage(message: JsonObject): number {
  const { role, content } = message
  const isChat = message['tool_calls'] !== undefined || message['tool_call_id'] !== undefined
  if (isChat || CHAT_ROLES.includes(role)) return -1
  const types = listOf(content).map((block) => block['type'])
  if (types.some((type) => ANTHROPIC_BLOCKS.includes(type))) return 1
  return types.some((type) => CHAT_BLOCKS.includes(type)) ? -1 : 0
}

function scoreToolChoice(choice: unknown): number {
  if (typeof choice === 'string') return -1
  if (!isJsonObject(choice)) return 0
  if (choice['type'] === 'any' || choice['type'] === 'tool') return 1
  return choice['type'] === 'function' || choice['type'] === 'allowed_tools' ? -1 : 0
}

function listOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : []
}

function sum(scores: readonly number[]): number {
  return scores.reduce((total, score) => total + score, 0)
}

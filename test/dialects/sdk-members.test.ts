import type Anthropic from '@anthropic-ai/sdk'
import type OpenAI from 'openai'
import t from 'tap'
import type { StreamPart } from '../../src/dialects/answer/stream-part.ts'
import { type DueMembers, missingIn } from '../helper/due-members.ts'
import { collect, translate } from '../helper/read-answer.ts'
import {
  anthropicIdentity,
  createCollector,
  createTranslator,
  openAiIdentity,
  replyPlan
} from '../helper/reply-plan.ts'
import { readSse } from '../helper/sse-messages.ts'

type Json = Readonly<Record<string, unknown>>

const MESSAGE: DueMembers<Anthropic.Message> = {
  id: true,
  container: true,
  content: true,
  diagnostics: true,
  model: true,
  role: true,
  stop_details: true,
  stop_reason: true,
  stop_sequence: true,
  type: true,
  usage: true
}
const USAGE: DueMembers<Anthropic.Usage> = {
  cache_creation: true,
  cache_creation_input_tokens: true,
  cache_read_input_tokens: true,
  inference_geo: true,
  input_tokens: true,
  output_tokens: true,
  output_tokens_details: true,
  server_tool_use: true,
  service_tier: true,
  speed: true
}
const DELTA: DueMembers<Anthropic.RawMessageDeltaEvent['delta']> = {
  container: true,
  stop_details: true,
  stop_reason: true,
  stop_sequence: true
}
const DELTA_USAGE: DueMembers<Anthropic.MessageDeltaUsage> = {
  cache_creation_input_tokens: true,
  cache_read_input_tokens: true,
  input_tokens: true,
  output_tokens: true,
  output_tokens_details: true,
  server_tool_use: true
}
/** Without `citations`: the vendor leaves them out where there are none, and the AI SDK refuses `null`. */
const TEXT: DueMembers<Anthropic.TextBlock, 'citations'> = { text: true, type: true }
const CALL: DueMembers<Anthropic.ToolUseBlock> = {
  id: true,
  caller: true,
  input: true,
  name: true,
  type: true
}
const SEARCH: DueMembers<Anthropic.ServerToolUseBlock> = CALL
const FOUND: DueMembers<Anthropic.WebSearchToolResultBlock> = {
  caller: true,
  content: true,
  tool_use_id: true,
  type: true
}
const BLOCKS: Readonly<Record<string, Readonly<Record<string, true>>>> = {
  text: TEXT,
  tool_use: CALL,
  server_tool_use: SEARCH,
  web_search_tool_result: FOUND
}

const parts: readonly StreamPart[] = [
  { type: 'search', id: 'ab'.repeat(16), query: 'oslo', results: [] },
  { type: 'text', text: 'Hi' },
  { type: 'tool-start', id: 't1', name: 'f' },
  { type: 'tool-delta', json: '{}' },
  { type: 'tool-end' },
  {
    type: 'end',
    reason: 'tool',
    usage: { inputTokens: 3, outputTokens: 5, cacheWriteTokens: 2, reasoningTokens: 4 }
  }
]

t.test('a message has every member of its type in the SDK', async (t) => {
  const plan = replyPlan({ dialect: 'anthropic-messages' })
  const message = collect(createCollector(plan, anthropicIdentity), parts) as Json
  t.same(missingIn(message, MESSAGE), [])
  t.same(missingIn(message['usage'], USAGE), [])
  t.match(message['usage'], {
    cache_creation: { ephemeral_5m_input_tokens: 2, ephemeral_1h_input_tokens: 0 },
    cache_creation_input_tokens: 2,
    cache_read_input_tokens: 0,
    output_tokens_details: { thinking_tokens: 4 },
    server_tool_use: { web_search_requests: 1, web_fetch_requests: 0 },
    service_tier: 'standard'
  })
  const types = (message['content'] as Json[]).map((block) => {
    const type = String(block['type'])
    t.same(missingIn(block, BLOCKS[type] ?? {}), [], type)
    return type
  })
  t.same(
    types,
    Object.keys(BLOCKS).toSorted((a, b) => types.indexOf(a) - types.indexOf(b))
  )
})

t.test('so have the events of its stream', async (t) => {
  const plan = replyPlan({ dialect: 'anthropic-messages' })
  const stream = translate(createTranslator(plan, anthropicIdentity), parts)
  const events: readonly Json[] = readSse(stream).messages.map(({ data }) => JSON.parse(data))
  const find = (type: string) => events.filter((event) => event['type'] === type)
  const [start] = find('message_start')
  const message = start?.['message'] as Json
  t.same(missingIn(message, MESSAGE), [])
  t.same(missingIn(message['usage'], USAGE), [])
  for (const { content_block: block } of find('content_block_start')) {
    t.same(missingIn(block, BLOCKS[String((block as Json)['type'])] ?? {}), [])
  }
  // The SDK merges the sum of the delta, which has no parts in it. Clients price by the parts wherever there are any.
  t.equal((message['usage'] as Json)['cache_creation'], null)
  const [end] = find('message_delta')
  t.match(end?.['usage'], { cache_creation_input_tokens: 2 })
  t.same(missingIn(end?.['delta'], DELTA), [])
  t.same(missingIn(end?.['usage'], DELTA_USAGE), [])
})

t.test('what is not known of a message is said as nothing, not left out', async (t) => {
  const plan = replyPlan({ dialect: 'anthropic-messages' })
  const usage = { inputTokens: 3, outputTokens: 5 }
  const end: StreamPart = { type: 'end', reason: 'filter', usage }
  const message = collect(createCollector(plan, anthropicIdentity), [end])
  t.match(message, {
    stop_reason: 'refusal',
    stop_details: null,
    container: null,
    usage: {
      cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
      output_tokens_details: null,
      server_tool_use: null
    }
  })
})

const COMPLETION: DueMembers<OpenAI.ChatCompletion> = {
  id: true,
  choices: true,
  created: true,
  model: true,
  object: true
}
const CHUNK: DueMembers<OpenAI.ChatCompletionChunk> = COMPLETION
const CHAT_MESSAGE: DueMembers<OpenAI.ChatCompletionMessage> = {
  content: true,
  refusal: true,
  role: true
}

t.test('a chat completion has what the SDKs expect', async (t) => {
  const plan = replyPlan()
  const whole = collect(createCollector(plan, openAiIdentity), parts) as Json
  t.same(missingIn(whole, COMPLETION), [])
  // OpenRouter's SDK insists on the fingerprint of a completion.
  t.equal(whole['system_fingerprint'], null)
  const [choice] = whole['choices'] as Json[]
  t.same(missingIn(choice?.['message'], CHAT_MESSAGE), [])
  t.match(choice, { message: { annotations: [], tool_calls: [{ id: 't1' }] } })
  const stream = translate(createTranslator(plan, openAiIdentity), parts)
  for (const { data } of readSse(stream).messages) {
    if (data === '[DONE]') continue
    const chunk = JSON.parse(data)
    t.same(missingIn(chunk, CHUNK), [])
    // It refuses `null` for that of a chunk.
    t.notOk('system_fingerprint' in chunk)
    t.notOk('annotations' in (chunk.choices[0]?.delta ?? {}))
  }
})

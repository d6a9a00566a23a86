import t from 'tap'
import { toText } from '../../../src/dialects/answer/answer-writer.ts'
import type { StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import {
  anthropicIdentity,
  createCollector,
  createTranslator,
  replyPlan
} from '../../helper/reply-plan.ts'
import { readSse } from '../../helper/sse-messages.ts'

const plan = replyPlan({ dialect: 'anthropic-messages' })
const found: StreamPart = {
  type: 'search',
  id: 'ab',
  query: 'kiro pricing',
  results: [{ title: 'T', url: 'https://e.example/', snippet: 'S' }]
}
const parts: readonly StreamPart[] = [
  found,
  { type: 'text', text: '1. T (https://e.example/)\nS' },
  { type: 'end', reason: 'stop', usage: { inputTokens: 9, outputTokens: 8 } }
]

const blocks = [
  {
    type: 'server_tool_use',
    id: 'srvtoolu_ab',
    caller: { type: 'direct' },
    name: 'web_search',
    input: { query: 'kiro pricing' }
  },
  {
    type: 'web_search_tool_result',
    tool_use_id: 'srvtoolu_ab',
    caller: { type: 'direct' },
    content: [
      {
        type: 'web_search_result',
        title: 'T',
        url: 'https://e.example/',
        encrypted_content: 'S',
        page_age: null
      }
    ]
  },
  { type: 'text', text: '1. T (https://e.example/)\nS' }
]

t.test('a search in a message is its two blocks, and is counted', async (t) => {
  const answer = createCollector(plan, anthropicIdentity)
  for (const part of parts) answer.push(part)
  const message = JSON.parse(toText(answer.toJson()))
  t.same(message.content, blocks)
  t.same(message.usage.server_tool_use, { web_search_requests: 1, web_fetch_requests: 0 })
})

t.test('a search in a stream is two blocks that are whole at their start', async (t) => {
  const translator = createTranslator(plan, anthropicIdentity)
  const { messages } = readSse(parts.map((part) => translator.push(part)).join(''))
  const events = messages.map(({ data }) => JSON.parse(data))
  const starts = events.filter(({ type }) => type === 'content_block_start')
  t.same(
    starts.slice(0, 2).map(({ content_block: block }) => block),
    blocks.slice(0, 2)
  )
  t.match(
    events.find(({ type }) => type === 'message_delta'),
    {
      usage: { server_tool_use: { web_search_requests: 1 } }
    }
  )
})

t.test('a search that failed says so', async (t) => {
  const answer = createCollector(plan, anthropicIdentity)
  answer.push({ ...found, results: [], problem: 'no answer' })
  for (const part of parts.slice(1)) answer.push(part)
  t.match(JSON.parse(toText(answer.toJson())).content[1], {
    content: { type: 'web_search_tool_result_error', error_code: 'unavailable' }
  })
})

import { ChatBodyCheck } from '../../../../src/dialects/openai-chat/schema.ts'
import { type ClientApi, conversationOf } from '../client-api.ts'
import { ASKED, DESCRIPTION, MODEL, QUESTION, TOLD, WEATHER } from '../examples.ts'
import { describeMembers } from '../json-schema.ts'
import type { ExampleRequests } from '../operation.ts'
import { SharedWords } from '../shared-words.ts'
import { ChatAnswers } from './answers.ts'

/** Members of a request, with what each means here. */
const WORDS = {
  model: SharedWords.model,
  messages:
    'The conversation. `content` is text or a list of blocks: text, `image_url` (data: or https:), `file`. Results of calls have the role `tool` and a `tool_call_id`.',
  tools: 'Functions that the model may call; `{"type":"web_search"}` searches the web.',
  functions: 'The older form of `tools`.',
  tool_choice: SharedWords.tool_choice,
  function_call: 'The older form of `tool_choice`.',
  parallel_tool_calls: SharedWords.parallel_tool_calls,
  stream: SharedWords.stream,
  stream_options: '`include_usage` adds a last chunk with the usage.',
  stop: 'Texts before which the answer ends.',
  n: 'Only 1.',
  max_tokens: 'The answer is cut there.',
  max_completion_tokens: 'The same; it wins.',
  reasoning_effort: 'How much the model thinks: the nearest that it has.',
  reasoning: 'The same, as `effort`.',
  response_format:
    '`json_object` or `json_schema`: the answer is checked, and asked for once more if it is wrong.',
  web_search_options: 'Lets the model search the web.',
  user: SharedWords.user,
  prompt_cache_key: SharedWords.prompt_cache_key
} as const

const chatTools = [
  {
    type: 'function',
    function: { name: 'weather', description: DESCRIPTION, parameters: WEATHER }
  }
]

const EXAMPLES: ExampleRequests = {
  whole: {
    summary: 'An answer in one piece',
    value: { model: MODEL, messages: [{ role: 'user', content: QUESTION }] }
  },
  stream: {
    summary: 'A stream, with its usage at the end',
    value: {
      model: MODEL,
      stream: true,
      stream_options: { include_usage: true },
      messages: [
        { role: 'system', content: 'Answer in one sentence.' },
        { role: 'user', content: QUESTION }
      ]
    }
  },
  tools: {
    summary: 'A tool that must be called',
    value: {
      model: MODEL,
      messages: [{ role: 'user', content: ASKED }],
      tools: chatTools,
      tool_choice: 'required'
    }
  },
  result: {
    summary: 'What came of the call',
    value: {
      model: MODEL,
      messages: [
        { role: 'user', content: ASKED },
        {
          role: 'assistant',
          content: null,
          tool_calls: [
            {
              id: 'call_1',
              type: 'function',
              function: { name: 'weather', arguments: '{"city":"Ghent"}' }
            }
          ]
        },
        { role: 'tool', tool_call_id: 'call_1', content: TOLD }
      ],
      tools: chatTools
    }
  },
  thinking: {
    summary: 'A model that thinks first',
    value: {
      model: MODEL,
      reasoning_effort: 'high',
      messages: [{ role: 'user', content: QUESTION }]
    }
  }
}

export const ChatApi: ClientApi = {
  conversation: conversationOf('openai-chat', ['ChatCompletion', 'ChatStreamEvent'], {
    id: 'createChatCompletion',
    summary: "OpenAI's Chat Completions",
    description:
      'Members that are not listed are ignored. What the upstream would refuse is repaired; `x-kiro-gateway-repairs` says what.',
    request: { schema: 'ChatRequest', examples: EXAMPLES }
  }),
  schemas: { ChatRequest: describeMembers(ChatBodyCheck.Schema(), WORDS), ...ChatAnswers },
  errorSchema: 'OpenAiError'
}

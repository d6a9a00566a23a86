import { MessagesBodyCheck } from '../../../../src/dialects/anthropic-messages/schema.ts'
import { type ClientApi, conversationOf, counterOf, VERSION } from '../client-api.ts'
import { ASKED, DESCRIPTION, MODEL, QUESTION, TOLD, WEATHER } from '../examples.ts'
import { describeMembers } from '../json-schema.ts'
import type { ExampleRequests } from '../operation.ts'
import { SharedWords } from '../shared-words.ts'
import { MessagesAnswers } from './answers.ts'

/** Members of a request, with what each means here. */
const WORDS = {
  model: SharedWords.model,
  messages:
    'The conversation. `content` is text or a list of blocks: `text`, `image`, `document`, `tool_use`, `tool_result`, `thinking`.',
  system: 'What the model is told before it.',
  tools: 'Tools that the model may call; `web_search_20250305` searches the web.',
  tool_choice: '`auto`, `any`, `none`, or the `tool` that must be called.',
  max_tokens: 'The answer is cut there.',
  stop_sequences: 'Texts before which the answer ends.',
  stream: SharedWords.stream,
  thinking: 'Whether the model thinks, and for how many tokens.',
  output_config: 'How much the model thinks (`effort`), and the `format` of its answer.',
  output_format: 'A JSON schema for the answer, which is checked.',
  metadata: '`user_id`: requests of one session share a cache.',
  context_management:
    'Edits that clear old results of tools and old thinking. `compact_20260112` is refused.',
  thread: 'Refused: send the whole conversation.',
  safeguards: 'Verdicts that are asked for; all are answered as unsupported.'
} as const

const EXAMPLES: ExampleRequests = {
  whole: {
    summary: 'An answer in one piece',
    value: { model: MODEL, max_tokens: 1024, messages: [{ role: 'user', content: QUESTION }] }
  },
  stream: {
    summary: 'A stream',
    value: {
      model: MODEL,
      max_tokens: 1024,
      stream: true,
      system: 'Answer in one sentence.',
      messages: [{ role: 'user', content: QUESTION }]
    }
  },
  tools: {
    summary: 'A tool that must be called',
    value: {
      model: MODEL,
      max_tokens: 1024,
      messages: [{ role: 'user', content: ASKED }],
      tools: [{ name: 'weather', description: DESCRIPTION, input_schema: WEATHER }],
      tool_choice: { type: 'any' }
    }
  },
  result: {
    summary: 'What came of the call',
    value: {
      model: MODEL,
      max_tokens: 1024,
      messages: [
        { role: 'user', content: ASKED },
        {
          role: 'assistant',
          content: [{ type: 'tool_use', id: 'toolu_1', name: 'weather', input: { city: 'Ghent' } }]
        },
        {
          role: 'user',
          content: [{ type: 'tool_result', tool_use_id: 'toolu_1', content: TOLD }]
        }
      ],
      tools: [{ name: 'weather', description: DESCRIPTION, input_schema: WEATHER }]
    }
  },
  thinking: {
    summary: 'A model that thinks first',
    value: {
      model: MODEL,
      max_tokens: 4096,
      stream: true,
      thinking: { type: 'enabled', budget_tokens: 2048 },
      messages: [{ role: 'user', content: QUESTION }]
    }
  },
  search: {
    summary: 'A search of the web',
    value: {
      model: MODEL,
      max_tokens: 1024,
      messages: [{ role: 'user', content: 'Search the web: which moons has Mars?' }],
      tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 2 }]
    }
  }
}

const COUNT_EXAMPLES: ExampleRequests = {
  count: {
    summary: 'How large a request is',
    value: { model: MODEL, messages: [{ role: 'user', content: QUESTION }] }
  }
}

export const MessagesApi: ClientApi = {
  conversation: conversationOf('anthropic-messages', ['Message', 'MessagesStreamEvent'], {
    id: 'createMessage',
    summary: "Anthropic's Messages",
    description:
      'Members that are not listed, `anthropic-version`, `anthropic-beta` and `?beta=true` are ignored. What the upstream would refuse is repaired; `x-kiro-gateway-repairs` says what.',
    parameters: [VERSION],
    request: { schema: 'MessagesRequest', examples: EXAMPLES }
  }),
  counter: counterOf('anthropic-messages', 'TokenCount', {
    id: 'countTokens',
    summary: 'Count the tokens of a request',
    parameters: [VERSION],
    request: { schema: 'MessagesRequest', examples: COUNT_EXAMPLES }
  }),
  schemas: {
    MessagesRequest: describeMembers(MessagesBodyCheck.Schema(), WORDS),
    ...MessagesAnswers
  },
  errorSchema: 'AnthropicError'
}

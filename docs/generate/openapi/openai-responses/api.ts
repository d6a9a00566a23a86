import { ResponsesBodyCheck } from '../../../../src/dialects/openai-responses/schema.ts'
import { Dialects } from '../../../../src/dialects/dialect.ts'
import { type ClientApi, conversationOf, counterOf, inJson, pathsOf } from '../client-api.ts'
import { ASKED, DESCRIPTION, MODEL, QUESTION, TOLD, WEATHER } from '../examples.ts'
import { describeMembers } from '../json-schema.ts'
import type { ExampleRequests, Operation } from '../operation.ts'
import { SharedWords } from '../shared-words.ts'
import { ResponsesAnswers } from './answers.ts'
import { STORED_OPERATIONS } from './stored.ts'

/** Members of a request, with what each means here. */
const WORDS = {
  model: `${SharedWords.model} Without one, \`auto\`.`,
  input:
    'A text, or the whole conversation as items: messages, calls and their outputs, `reasoning`, `item_reference`, `compaction_trigger`.',
  instructions: 'What the model is told before it.',
  tools: 'Functions, custom tools, namespaces, `tool_search`, and `web_search`.',
  tool_choice: SharedWords.tool_choice,
  parallel_tool_calls: SharedWords.parallel_tool_calls,
  stream: SharedWords.stream,
  store:
    'Unless `false`, the response and its input are stored for a time, to be read, referred to and gone on from.',
  include: '`reasoning.encrypted_content`: reasoning that can be sent back.',
  background: 'Only `false`.',
  previous_response_id: 'Goes on from a stored response, or on a WebSocket from its last one.',
  conversation: 'Refused: send the whole conversation.',
  prompt: 'Refused: prompts are not kept here.',
  max_output_tokens: 'The answer is cut there.',
  max_tool_calls: 'Repeated in the answer and not used.',
  reasoning: 'How much the model thinks (`effort`), and whether it says what (`summary`).',
  text: 'The `format` of the answer, which is checked.',
  response_format: 'The same as `text.format`.',
  temperature: 'Repeated in the answer and not used.',
  top_p: 'Repeated in the answer and not used.',
  presence_penalty: 'Repeated in the answer and not used.',
  frequency_penalty: 'Repeated in the answer and not used.',
  top_logprobs: 'Repeated in the answer and not used.',
  truncation: 'Repeated in the answer and not used.',
  service_tier: 'There is one: the answer says `default`.',
  metadata: 'Repeated in the answer.',
  client_metadata: '`thread_id`: requests of one thread share a cache.',
  user: SharedWords.user,
  safety_identifier: 'Repeated in the answer and not used.',
  prompt_cache_key: SharedWords.prompt_cache_key
} as const

const EXAMPLES: ExampleRequests = {
  whole: { summary: 'An answer in one piece', value: { model: MODEL, input: QUESTION } },
  stream: {
    summary: 'A stream',
    value: {
      model: MODEL,
      stream: true,
      store: false,
      instructions: 'Answer in one sentence.',
      input: [{ type: 'message', role: 'user', content: QUESTION }]
    }
  },
  tools: {
    summary: 'A tool that must be called',
    value: {
      model: MODEL,
      stream: true,
      input: ASKED,
      tools: [{ type: 'function', name: 'weather', description: DESCRIPTION, parameters: WEATHER }],
      tool_choice: 'required'
    }
  },
  result: {
    summary: 'What came of the call',
    value: {
      model: MODEL,
      input: [
        { type: 'message', role: 'user', content: ASKED },
        {
          type: 'function_call',
          call_id: 'call_1',
          name: 'weather',
          arguments: '{"city":"Ghent"}'
        },
        { type: 'function_call_output', call_id: 'call_1', output: TOLD }
      ],
      tools: [{ type: 'function', name: 'weather', description: DESCRIPTION, parameters: WEATHER }]
    }
  },
  compaction: {
    summary: 'A conversation that is summed up',
    value: {
      model: MODEL,
      input: [
        { type: 'message', role: 'user', content: QUESTION },
        { type: 'message', role: 'assistant', content: 'Two: Phobos and Deimos.' },
        { type: 'compaction_trigger' }
      ]
    }
  }
}

const COUNT_EXAMPLES: ExampleRequests = {
  count: { summary: 'How large a request is', value: { model: MODEL, input: QUESTION } }
}

const COMPACT: Operation = {
  ...conversationOf('openai-responses', ['CompactedResponse', 'ResponsesStreamEvent'], {
    id: 'compactResponse',
    summary: 'Compact a conversation',
    description:
      'Has the model sum the conversation up. Send the item of the answer in place of it; only the key that asked can use it.',
    request: { schema: 'ResponsesRequest', examples: COUNT_EXAMPLES }
  }),
  ...pathsOf(Dialects['openai-responses'].paths.map((path) => `${path}/compact`)),
  answers: inJson(['CompactedResponse'], 'The conversation, as one item.', [
    'x-kiro-gateway-repairs',
    'x-kiro-gateway-model',
    'server-timing'
  ])
}

export const ResponsesApi: ClientApi = {
  conversation: conversationOf('openai-responses', ['Response', 'ResponsesStreamEvent'], {
    id: 'createResponse',
    summary: "OpenAI's Responses",
    description:
      'Send the whole conversation with each request, or go on from a stored response. An item `{"type":"compaction_trigger"}` at the end has the conversation summed up.',
    request: { schema: 'ResponsesRequest', examples: EXAMPLES }
  }),
  counter: counterOf('openai-responses', 'InputTokenCount', {
    id: 'countInputTokens',
    summary: 'Count the tokens of a Responses request',
    request: { schema: 'ResponsesRequest', examples: COUNT_EXAMPLES }
  }),
  others: [COMPACT, ...STORED_OPERATIONS],
  schemas: {
    ResponsesRequest: describeMembers(ResponsesBodyCheck.Schema(), WORDS),
    ...ResponsesAnswers
  },
  errorSchema: 'OpenAiError'
}

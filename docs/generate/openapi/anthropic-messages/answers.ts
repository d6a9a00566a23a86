import { COUNTED, COUNT_MEMBERS } from '../count-members.ts'
import {
  type JsonSchema,
  amount,
  anyObject,
  anyOf,
  describedRecord,
  fixed,
  list,
  oneOf,
  optional,
  orNull,
  record,
  refTo,
  string
} from '../json-schema.ts'

const STOP_REASON = oneOf(
  [
    'end_turn',
    'tool_use',
    'max_tokens',
    'stop_sequence',
    'model_context_window_exceeded',
    'refusal',
    'pause_turn'
  ],
  'Why the answer ended. `max_tokens` also where the upstream ended it before its time.'
)

const REASONS = {
  stop_reason: STOP_REASON,
  stop_sequence: orNull(string('Which of `stop_sequences` it was.')),
  stop_details: { type: 'null' },
  safeguard_results: optional(
    list(
      record({
        type: string('As it was asked for.'),
        status: record({ type: fixed('unsupported') })
      }),
      'Where the request asked for `safeguards`: nothing here judges calls.'
    )
  )
}

const CLEARED = { cleared_input_tokens: amount('Tokens that were cleared.') }

const CONTEXT_EDITS = describedRecord('Where the request asked for edits.', {
  applied_edits: list(
    anyOf([
      record({
        type: fixed('clear_tool_uses_20250919'),
        cleared_tool_uses: amount('Calls whose results were cleared.'),
        ...CLEARED
      }),
      record({
        type: fixed('clear_thinking_20251015'),
        cleared_thinking_turns: amount('Turns whose thinking was cleared.'),
        ...CLEARED
      })
    ]),
    'Edits that changed the conversation.'
  )
})

const EDITS = { context_management: optional(refTo('ContextEdits')) }

const INDEX = amount('Which block of the answer, from 0.')

const SEARCH_RESULT = record({
  type: fixed('web_search_result'),
  title: string('Of the page.'),
  url: string('Of the page.'),
  encrypted_content: string('What was found on it.'),
  page_age: orNull(string('When it was published.'))
})

const CALLER = describedRecord('Always the model itself.', { type: fixed('direct') })

const BLOCKS = {
  TextBlock: record({ type: fixed('text'), text: string('What the model says.') }),
  ThinkingBlock: record({
    type: fixed('thinking'),
    thinking: string('What the model thought.'),
    signature: string('To be sent back with the block.')
  }),
  RedactedThinkingBlock: record({
    type: fixed('redacted_thinking'),
    data: string('Only the upstream can read it; to be sent back.')
  }),
  ToolUseBlock: record({
    type: fixed('tool_use'),
    id: string('To be repeated in `tool_use_id` of the result.'),
    caller: CALLER,
    name: string('The tool, as the request named it.'),
    input: anyObject('The arguments.')
  }),
  ServerToolUseBlock: record({
    type: fixed('server_tool_use'),
    id: string('Of the search.'),
    caller: CALLER,
    name: fixed('web_search'),
    input: record({ query: string('What was searched for.') })
  }),
  WebSearchResultBlock: record({
    type: fixed('web_search_tool_result'),
    tool_use_id: string('Of the search.'),
    caller: CALLER,
    content: anyOf([
      list(SEARCH_RESULT),
      record({
        type: fixed('web_search_tool_result_error'),
        error_code: string('Why there is no result.')
      })
    ])
  })
} as const

const BLOCK = anyOf(Object.keys(BLOCKS).map(refTo))

/** Members that the SDK's types have in every message. */
const NEVER_HERE = { container: { type: 'null' }, diagnostics: { type: 'null' } }

const START = record({
  type: fixed('message_start'),
  message: describedRecord(
    'The message without its content; of its usage the input is an estimate.',
    {
      id: string('Of the answer.'),
      type: fixed('message'),
      role: fixed('assistant'),
      model: string('As the request named it.'),
      ...NEVER_HERE,
      content: { type: 'array', maxItems: 0 },
      stop_reason: { type: 'null' },
      stop_sequence: { type: 'null' },
      stop_details: { type: 'null' },
      usage: refTo('MessageUsage')
    }
  )
})

const DELTA = anyOf([
  record({ type: fixed('text_delta'), text: string('What comes next.') }),
  record({ type: fixed('thinking_delta'), thinking: string('What comes next.') }),
  record({ type: fixed('signature_delta'), signature: string('Of the whole block.') }),
  record({ type: fixed('input_json_delta'), partial_json: string('What comes next of JSON text.') })
])

/** The events of a stream. `error` is in its place beside them. */
const EVENTS = {
  MessageStartEvent: START,
  PingEvent: describedRecord('A heartbeat.', { type: fixed('ping') }),
  BlockStartEvent: record({
    type: fixed('content_block_start'),
    index: INDEX,
    content_block: BLOCK
  }),
  BlockDeltaEvent: record({ type: fixed('content_block_delta'), index: INDEX, delta: DELTA }),
  BlockStopEvent: record({ type: fixed('content_block_stop'), index: INDEX }),
  MessageDeltaEvent: record({
    type: fixed('message_delta'),
    delta: record({ ...REASONS, container: NEVER_HERE.container }),
    usage: refTo('MessageDeltaUsage'),
    ...EDITS
  }),
  MessageStopEvent: describedRecord('The end.', { type: fixed('message_stop') })
} as const

const DELTA_USAGE = {
  input_tokens: amount('Tokens that were read, but for those of the cache.'),
  output_tokens: amount('Tokens that were written.'),
  cache_read_input_tokens: amount('Read from the cache.'),
  cache_creation_input_tokens: amount('Written to the cache.'),
  output_tokens_details: orNull(record({ thinking_tokens: amount('Of these for thinking.') })),
  server_tool_use: orNull(
    record({
      web_search_requests: amount('Searches that were made.'),
      web_fetch_requests: amount('Always 0.')
    })
  ),
  ...COUNT_MEMBERS
}

/** Answers of the Messages API, and the events of a stream. */
export const MessagesAnswers: Readonly<Record<string, JsonSchema>> = {
  Message: record({
    id: string('Another one for each answer.'),
    type: fixed('message'),
    role: fixed('assistant'),
    model: string('As the request named it.'),
    ...NEVER_HERE,
    content: list(BLOCK),
    ...REASONS,
    usage: refTo('MessageUsage'),
    ...EDITS
  }),
  ...BLOCKS,
  ContextEdits: CONTEXT_EDITS,
  MessageUsage: record({
    ...DELTA_USAGE,
    cache_creation: orNull(
      record({
        ephemeral_5m_input_tokens: amount('All that was written to the cache.'),
        ephemeral_1h_input_tokens: amount('Always 0.')
      })
    ),
    inference_geo: { type: 'null' },
    service_tier: fixed('standard'),
    speed: { type: 'null' }
  }),
  MessageDeltaUsage: record(DELTA_USAGE),
  ...EVENTS,
  MessagesStreamEvent: anyOf(
    [...Object.keys(EVENTS), 'AnthropicStreamError'].map(refTo),
    'What `data:` of an event has; `event:` has its type. A whole answer ends with `message_stop`, a broken one with `error`.'
  ),
  TokenCount: record({
    input_tokens: amount(COUNTED),
    ...COUNT_MEMBERS,
    context_management: optional(
      describedRecord('Where the request asked for edits.', {
        original_input_tokens: amount('Tokens before the edits that the request asks for.')
      })
    )
  })
}

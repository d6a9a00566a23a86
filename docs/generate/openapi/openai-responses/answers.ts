import { COUNTED, COUNT_MEMBERS } from '../count-members.ts'
import {
  type JsonSchema,
  amount,
  anyObject,
  anyOf,
  anything,
  boolean,
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

const STATUS = oneOf(['in_progress', 'completed', 'incomplete'], '`incomplete` for what broke off.')

const ID = string('Another one for each item; an `item_reference` may name it.')

const CALL = {
  call_id: string('To be repeated in the output.'),
  name: string('The tool, as the request named it.'),
  namespace: optional(string('Where the tool was declared in one.'))
}

const NO_LOGPROBS = { logprobs: { type: 'array', maxItems: 0 } }

const TEXT_PART = record({
  type: fixed('output_text'),
  text: string('What the model says.'),
  annotations: { type: 'array', maxItems: 0 },
  ...NO_LOGPROBS
})
const SUMMARY_PART = record({
  type: fixed('summary_text'),
  text: string('What the model thought.')
})

const ACTION = record({
  type: fixed('search'),
  query: string('What was searched for.'),
  queries: optional(list({ type: 'string' })),
  sources: optional(list(record({ type: fixed('url'), url: string('Of a page that was found.') })))
})

const ITEMS = {
  MessageItem: record({
    id: ID,
    type: fixed('message'),
    status: STATUS,
    role: fixed('assistant'),
    content: list(TEXT_PART)
  }),
  ReasoningItem: record({
    id: ID,
    type: fixed('reasoning'),
    summary: list(SUMMARY_PART),
    encrypted_content: optional(
      string('Only the upstream can read it; to be sent back. Where `include` asked for it.')
    )
  }),
  FunctionCallItem: record({
    id: ID,
    type: fixed('function_call'),
    status: STATUS,
    ...CALL,
    arguments: string('JSON text.')
  }),
  CustomToolCallItem: record({
    id: ID,
    type: fixed('custom_tool_call'),
    status: STATUS,
    ...CALL,
    input: string('The text for the tool.')
  }),
  ToolSearchCallItem: record({
    id: ID,
    type: fixed('tool_search_call'),
    status: STATUS,
    execution: fixed('client'),
    call_id: CALL.call_id,
    arguments: anything('An object; a text where it broke off.')
  }),
  WebSearchCallItem: record({
    id: ID,
    type: fixed('web_search_call'),
    status: oneOf(['in_progress', 'completed', 'failed']),
    action: ACTION
  }),
  CompactionItem: record({
    id: ID,
    type: fixed('compaction'),
    encrypted_content: string('Stands for the conversation so far; to be sent in its place.')
  })
} as const

const ITEM = anyOf(Object.keys(ITEMS).map(refTo))

/** Members of every event of an item, beside its type. */
const PLACE = {
  sequence_number: amount('From 0, without gaps.'),
  output_index: amount('Which item of the output.'),
  item_id: string('Of that item.')
}
const IN_CONTENT = { ...PLACE, content_index: amount('Always 0.') }
const IN_SUMMARY = { ...PLACE, summary_index: amount('Always 0.') }

const EVENTS: Readonly<Record<string, Readonly<Record<string, JsonSchema>>>> = {
  'response.created': ofResponse(),
  'response.in_progress': ofResponse(),
  'response.completed': ofResponse(),
  'response.incomplete': ofResponse(),
  'response.failed': ofResponse(),
  'response.output_item.added': ofItem(),
  'response.output_item.done': ofItem(),
  'response.content_part.added': { ...IN_CONTENT, part: TEXT_PART },
  'response.content_part.done': { ...IN_CONTENT, part: TEXT_PART },
  'response.output_text.delta': {
    ...IN_CONTENT,
    ...NO_LOGPROBS,
    delta: string('What comes next.')
  },
  'response.output_text.done': { ...IN_CONTENT, ...NO_LOGPROBS, text: string('All of it.') },
  'response.reasoning_summary_part.added': { ...IN_SUMMARY, part: SUMMARY_PART },
  'response.reasoning_summary_part.done': { ...IN_SUMMARY, part: SUMMARY_PART },
  'response.reasoning_summary_text.delta': { ...IN_SUMMARY, delta: string('What comes next.') },
  'response.reasoning_summary_text.done': { ...IN_SUMMARY, text: string('All of it.') },
  'response.function_call_arguments.delta': { ...PLACE, delta: string('What comes next.') },
  'response.function_call_arguments.done': {
    ...PLACE,
    arguments: string('All of them.'),
    name: CALL.name
  },
  'response.custom_tool_call_input.delta': { ...PLACE, delta: string('What comes next.') },
  'response.custom_tool_call_input.done': { ...PLACE, input: string('All of it.') },
  'response.web_search_call.in_progress': PLACE,
  'response.web_search_call.searching': PLACE,
  'response.web_search_call.completed': PLACE
}

function ofResponse(): Readonly<Record<string, JsonSchema>> {
  return { sequence_number: PLACE.sequence_number, response: refTo('Response') }
}

function ofItem(): Readonly<Record<string, JsonSchema>> {
  const { sequence_number, output_index } = PLACE
  return { sequence_number, output_index, item: ITEM }
}

/** Repeated from the request, or what stands for it where it said nothing. */
const ECHO = {
  access_programs: { type: 'null' },
  background: boolean('Always false.'),
  frequency_penalty: { type: 'number', description: 'As sent.' },
  instructions: orNull(string('As sent.')),
  max_output_tokens: orNull(amount('As sent.')),
  max_tool_calls: orNull(amount('As sent.')),
  parallel_tool_calls: boolean('As sent.'),
  presence_penalty: { type: 'number', description: 'As sent.' },
  previous_response_id: orNull(string('As sent.')),
  prompt_cache_key: orNull(string('As sent.')),
  reasoning: anyObject('As sent, always with `effort` and `summary`.'),
  safety_identifier: orNull(string('As sent.')),
  service_tier: fixed('default'),
  temperature: { type: 'number', description: 'As sent.' },
  text: anyObject('As sent, always with a `format`.'),
  tool_choice: anything('As sent.'),
  tools: list(
    anyObject('As sent; a function always with its `description`, `parameters` and `strict`.')
  ),
  top_logprobs: amount('As sent.'),
  top_p: { type: 'number', description: 'As sent.' },
  truncation: string('As sent.'),
  user: orNull(string('As sent.')),
  metadata: anyObject('As sent.')
} as const

/** Answers of the Responses API, and the events of a stream. */
export const ResponsesAnswers: Readonly<Record<string, JsonSchema>> = {
  Response: record({
    id: string('Another one for each answer.'),
    object: fixed('response'),
    created_at: amount('Seconds since 1970.'),
    model: string('As the request named it.'),
    store: boolean('Whether it is stored, so that it can be read, referred to and gone on from.'),
    ...ECHO,
    status: oneOf(['in_progress', 'completed', 'incomplete', 'failed']),
    completed_at: orNull(amount('Seconds since 1970, where the status is `completed`.')),
    output: list(ITEM),
    error: orNull(
      describedRecord('Where the status is `failed`.', {
        code: string('For programs.'),
        message: string('For people.')
      })
    ),
    incomplete_details: orNull(record({ reason: oneOf(['max_output_tokens', 'content_filter']) })),
    usage: orNull(refTo('ResponseUsage'))
  }),
  ...ITEMS,
  CompactedResponse: record({
    id: string('Another one for each answer.'),
    object: fixed('response.compaction'),
    created_at: amount('Seconds since 1970.'),
    output: list(refTo('CompactionItem')),
    usage: refTo('ResponseUsage')
  }),
  InputItemList: record({
    object: fixed('list'),
    data: list(anyObject('An item as it was sent, with its `id` and `type`.')),
    first_id: orNull(string('Of the first item here.')),
    last_id: orNull(string('Of the last item here; `after` goes on from it.')),
    has_more: boolean('Whether there are items behind these.')
  }),
  DeletedResponse: record({
    id: string('As asked.'),
    object: fixed('response'),
    deleted: boolean('Always true.')
  }),
  InputTokenCount: record({
    object: fixed('response.input_tokens'),
    input_tokens: amount(COUNTED),
    ...COUNT_MEMBERS
  }),
  ResponseUsage: record({
    input_tokens: amount('Tokens that were read, those of the cache included.'),
    input_tokens_details: record({
      cached_tokens: amount('Of these from the cache.'),
      cache_write_tokens: amount('Of these written to the cache.')
    }),
    output_tokens: amount('Tokens that were written.'),
    output_tokens_details: record({ reasoning_tokens: amount('Of these for thinking.') }),
    total_tokens: amount('Both together.'),
    ...COUNT_MEMBERS,
    credits_used: optional({
      type: 'number',
      description: 'Credits, as the upstream metered them.'
    })
  }),
  ResponsesStreamEvent: anyOf(
    Object.entries(EVENTS).map(([type, members]) => record({ type: fixed(type), ...members })),
    'What `data:` of an event has; `event:` has its type. A whole answer ends with `response.completed` or `response.incomplete`, a broken one with `response.failed`.'
  )
}

/** Meaning of each member of a Chat Completions request. docs/compatibility.md covers all members. */
export const ChatWords = {
  model: 'A name of `/v1/models`, an alias, or another spelling of one.',
  messages:
    'The conversation. `content` is text or a list of blocks: text, `image_url` (data: or https:), `file`. Results of calls have the role `tool` and a `tool_call_id`.',
  tools: 'Functions that the model may call; `{"type":"web_search"}` searches the web.',
  functions: 'The older form of `tools`.',
  tool_choice: '`none`, `auto`, `required`, or the one that must be called.',
  function_call: 'The older form of `tool_choice`.',
  parallel_tool_calls: '`false`: one call in an answer at most.',
  stream: 'Sends the answer as it comes.',
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
  user: 'Requests of one user about the same share a cache.',
  prompt_cache_key: 'Requests with the same key share a cache.'
} as const

/** The same of a Messages request. */
export const MessagesWords = {
  model: ChatWords.model,
  messages:
    'The conversation. `content` is text or a list of blocks: `text`, `image`, `document`, `tool_use`, `tool_result`, `thinking`.',
  system: 'What the model is told before it.',
  tools: 'Tools that the model may call; `web_search_20250305` searches the web.',
  tool_choice: '`auto`, `any`, `none`, or the `tool` that must be called.',
  max_tokens: 'The answer is cut there.',
  stop_sequences: 'Texts before which the answer ends.',
  stream: ChatWords.stream,
  thinking: 'Whether the model thinks, and for how many tokens.',
  output_config: 'How much the model thinks (`effort`), and the `format` of its answer.',
  output_format: 'A JSON schema for the answer, which is checked.',
  metadata: '`user_id`: requests of one session share a cache.',
  thread: 'Refused: send the whole conversation.',
  safeguards: 'Verdicts that are asked for; all are answered as unsupported.'
} as const

/** The same of a Responses request. */
export const ResponsesWords = {
  model: `${ChatWords.model} Without one, \`auto\`.`,
  input:
    'A text, or the whole conversation as items: messages, calls and their outputs, `reasoning`, `item_reference`, `compaction_trigger`.',
  instructions: 'What the model is told before it.',
  tools: 'Functions, custom tools, namespaces, `tool_search`, and `web_search`.',
  tool_choice: ChatWords.tool_choice,
  parallel_tool_calls: ChatWords.parallel_tool_calls,
  stream: ChatWords.stream,
  store: 'Keeps the items of the answer for a time, so that an `item_reference` may name them.',
  include: '`reasoning.encrypted_content`: reasoning that can be sent back.',
  background: 'Only `false`.',
  previous_response_id: 'Refused: send the whole conversation.',
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
  user: ChatWords.user,
  safety_identifier: 'Repeated in the answer and not used.',
  prompt_cache_key: ChatWords.prompt_cache_key
} as const

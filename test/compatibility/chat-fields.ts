import type { Probed } from './probe.ts'

const HI = { role: 'user', content: 'hi' }
const CITY = { type: 'object', properties: { city: { type: 'string' } } }
const fn = (name: string, more = {}) => ({
  type: 'function',
  function: { name, description: name, ...more }
})
const call = (more = {}) => ({
  id: 'c1',
  type: 'function',
  function: { name: 'f', arguments: '{"a":1}' },
  ...more
})
const result = { role: 'tool', tool_call_id: 'c1', content: 'done' }
const FUNCTIONS = [
  { name: 'f', description: 'F' },
  { name: 'g', description: 'G' }
]
const TOOLS = { tools: [fn('f'), fn('g')] }
const TOOL_LOOP = {
  tools: [fn('f')],
  messages: [HI, { role: 'assistant', tool_calls: [call()] }, result]
}
const legacy = (name: string) => ({
  functions: FUNCTIONS,
  messages: [
    HI,
    { role: 'assistant', function_call: { name: 'f', arguments: '{"a":1}' } },
    HI,
    { role: 'function', name, content: 'done' }
  ]
})
const thinking = (more: object) => ({ model: 'claude-sonnet-5', ...more })
const schema = (value: unknown) => ({
  response_format: { type: 'json_schema', json_schema: { name: 'n', schema: value } }
})
const assistant = (more: object) => ({
  messages: [HI, { role: 'assistant', content: 'Yes.', ...more }, HI]
})

export const CHAT_FIELDS: Probed = {
  dialect: 'openai-chat',
  base: { model: 'claude-haiku-4.5', messages: [HI] },
  probes: {
    model: { with: { model: 'claude-opus-5' }, sent: '"modelId":"claude-opus-5"' },
    'messages[].role': {
      with: {
        messages: [
          { role: 'developer', content: 'Be brief.' },
          HI,
          { role: 'assistant', content: 'Yes.' },
          { role: 'developer', content: 'Be slow.' }
        ]
      },
      sent: 'Be brief.\\n\\nhi'
    },
    'messages[].content': { with: { messages: [{ role: 'user', content: 'ho' }] }, sent: '"ho"' },
    'messages[].name': {
      with: legacy('f'),
      without: legacy('x'),
      sent: '"toolUseId":"call_1","content":[{"text":"done"}]'
    },
    'messages[].refusal': {
      with: assistant({ content: null, refusal: 'I will not.' }),
      sent: 'I will not.'
    },
    'messages[].tool_calls[].id': {
      with: {
        ...TOOL_LOOP,
        messages: [
          HI,
          { role: 'assistant', tool_calls: [call({ id: 'id_of_it' })] },
          { ...result, tool_call_id: 'id_of_it' }
        ]
      },
      without: TOOL_LOOP,
      sent: '"toolUseId":"id_of_it"'
    },
    'messages[].tool_calls[].function.name': { with: TOOL_LOOP, sent: '"name":"f","input"' },
    'messages[].tool_calls[].function.arguments': { with: TOOL_LOOP, sent: '"input":{"a":1}' },
    'messages[].tool_calls[].custom.name': {
      with: {
        tools: [fn('own')],
        messages: [
          HI,
          {
            role: 'assistant',
            tool_calls: [{ id: 'c1', type: 'custom', custom: { name: 'own', input: 'raw' } }]
          },
          result
        ]
      },
      sent: '"name":"own","input"'
    },
    'messages[].tool_calls[].custom.input': {
      with: {
        tools: [fn('own')],
        messages: [
          HI,
          {
            role: 'assistant',
            tool_calls: [{ id: 'c1', type: 'custom', custom: { name: 'own', input: 'raw' } }]
          },
          result
        ]
      },
      sent: '"input":{"input":"raw"}'
    },
    'messages[].tool_call_id': {
      with: TOOL_LOOP,
      sent: '"toolUseId":"c1","content":[{"text":"done"}]'
    },
    'messages[].function_call.name': { with: legacy('f'), sent: '"toolUseId":"call_1","name":"f"' },
    'messages[].function_call.arguments': { with: legacy('f'), sent: '"input":{"a":1}' },
    'messages[].reasoning_content': {
      with: assistant({ reasoning_content: 'hm' }),
      without: assistant({})
    },
    'messages[].audio': { with: assistant({ audio: { id: 'a' } }), without: assistant({}) },
    'messages[].annotations': { with: assistant({ annotations: [] }), without: assistant({}) },
    tools: { with: { tools: [fn('f', { description: 'F' })] }, sent: '"toolSpecification"' },
    'tools[].function.name': {
      with: { tools: [fn('a_name', { description: 'F' })] },
      sent: '"name":"a_name"'
    },
    'tools[].function.description': {
      with: { tools: [fn('f', { description: 'What it does.' })] },
      sent: 'What it does.'
    },
    'tools[].function.parameters': {
      with: { tools: [fn('f', { description: 'F', parameters: CITY })] },
      sent: '"city"'
    },
    'tools[].function.input_schema': {
      with: { tools: [fn('f', { description: 'F', input_schema: CITY })] },
      sent: '"city"'
    },
    'tools[].function.strict': {
      with: { tools: [fn('f', { description: 'F', strict: true })] },
      without: { tools: [fn('f', { description: 'F' })] }
    },
    'tools[].name': {
      with: { tools: [{ name: 'flat', description: 'F', input_schema: CITY }] },
      sent: '"name":"flat"'
    },
    'tools[].type: web_search': {
      with: { tools: [{ type: 'web_search' }] },
      plan: { rounds: { webSearch: { maxUses: 10 } } },
      sent: '"web_search"'
    },
    'tools[].type: custom': { with: { tools: [{ type: 'custom', custom: { name: 'own' } }] } },
    'functions[].name': {
      with: { functions: [{ name: 'a_name', description: 'F' }] },
      sent: '"name":"a_name"'
    },
    'functions[].description': {
      with: { functions: [{ name: 'f', description: 'What it does.' }] },
      sent: 'What it does.'
    },
    'functions[].parameters': {
      with: { functions: [{ name: 'f', description: 'F', parameters: CITY }] },
      sent: '"city"'
    },
    'functions[].input_schema': {
      with: { functions: [{ name: 'f', description: 'F', input_schema: CITY }] },
      sent: '"city"'
    },
    tool_choice: {
      with: { ...TOOLS, tool_choice: 'required' },
      without: TOOLS,
      plan: { rounds: { dueCall: { name: null } } }
    },
    'tool_choice.type': { with: { ...TOOLS, tool_choice: { type: 'none' } }, without: TOOLS },
    'tool_choice.function.name': {
      with: { ...TOOLS, tool_choice: { type: 'function', function: { name: 'g' } } },
      without: TOOLS,
      plan: { rounds: { dueCall: { name: 'g' } } }
    },
    'tool_choice.custom.name': {
      with: { ...TOOLS, tool_choice: { type: 'custom', custom: { name: 'g' } } },
      without: TOOLS,
      plan: { rounds: { dueCall: { name: 'g' } } }
    },
    'tool_choice.name': {
      with: { ...TOOLS, tool_choice: { type: 'function', name: 'g' } },
      without: TOOLS,
      plan: { rounds: { dueCall: { name: 'g' } } }
    },
    'tool_choice.allowed_tools.mode': {
      with: {
        ...TOOLS,
        tool_choice: {
          type: 'allowed_tools',
          allowed_tools: { mode: 'required', tools: [fn('f')] }
        }
      },
      without: {
        ...TOOLS,
        tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [fn('f')] } }
      },
      plan: { rounds: { dueCall: { name: null } } }
    },
    'tool_choice.allowed_tools.tools': {
      with: {
        ...TOOLS,
        tool_choice: { type: 'allowed_tools', allowed_tools: { tools: [fn('f')] } }
      },
      without: TOOLS
    },
    function_call: {
      with: { functions: FUNCTIONS, function_call: 'none' },
      without: { functions: FUNCTIONS }
    },
    'function_call.name': {
      with: { functions: FUNCTIONS, function_call: { name: 'f' } },
      without: { functions: FUNCTIONS },
      plan: { rounds: { dueCall: { name: 'f' } } }
    },
    parallel_tool_calls: {
      with: { ...TOOLS, parallel_tool_calls: false },
      without: TOOLS,
      plan: { isSingleToolCall: true }
    },
    stream: { with: { stream: true }, plan: { isStream: true } },
    'stream_options.include_usage': {
      with: { stream: true, stream_options: { include_usage: true } },
      without: { stream: true },
      plan: { wantsUsage: true }
    },
    'stream_options.include_obfuscation': {
      with: { stream: true, stream_options: { include_obfuscation: true } },
      without: { stream: true }
    },
    stop: { with: { stop: ['END', ''] }, plan: { stopSequences: ['END'] } },
    n: { with: { n: 2 } },
    max_tokens: { with: { max_tokens: 50 }, plan: { maxOutputTokens: 50 } },
    max_completion_tokens: {
      with: { max_completion_tokens: 50, max_tokens: 90 },
      plan: { maxOutputTokens: 50 }
    },
    reasoning_effort: {
      with: thinking({ reasoning_effort: 'high' }),
      without: thinking({}),
      sent: '"effort":"high"',
      plan: { reasoning: 'native' }
    },
    'reasoning.effort': {
      with: thinking({ reasoning: { effort: 'high' } }),
      without: thinking({}),
      sent: '"effort":"high"'
    },
    'response_format.type': {
      with: { response_format: { type: 'json_object' } },
      plan: { isJsonAnswer: true, rounds: { jsonForm: { type: 'object' } } }
    },
    'response_format.json_schema.schema': {
      with: schema(CITY),
      without: schema(undefined),
      sent: 'city',
      plan: { rounds: { jsonForm: { type: 'schema' } } }
    },
    'response_format.json_schema.strict': {
      with: {
        response_format: { type: 'json_schema', json_schema: { schema: CITY, strict: true } }
      },
      without: { response_format: { type: 'json_schema', json_schema: { schema: CITY } } }
    },
    web_search_options: { with: { web_search_options: {} }, sent: '"web_search"' },
    user: { with: { user: 'u' } },
    prompt_cache_key: { with: { prompt_cache_key: 'k' } },
    ...ignored({
      temperature: 0.5,
      top_p: 0.5,
      seed: 7,
      logprobs: true,
      top_logprobs: 3,
      logit_bias: { 50256: -100 },
      frequency_penalty: 1,
      presence_penalty: 1,
      service_tier: 'flex',
      store: true,
      metadata: { a: 'b' },
      modalities: ['text', 'audio'],
      audio: { voice: 'alloy', format: 'wav' },
      prediction: { type: 'content', content: 'x' },
      verbosity: 'low',
      safety_identifier: 's',
      prompt_cache_retention: '24h',
      'an unknown member': { of: ['any', 'shape'] }
    })
  }
}

/** Members that nothing comes of. */
export function ignored(members: Readonly<Record<string, unknown>>) {
  return Object.fromEntries(
    Object.entries(members).map(([name, value]) => [name, { with: { [name]: value } }])
  )
}

import { sealReasoning } from '../../src/kiro/conversation/signed-reasoning.ts'
import { sealSummary } from '../../src/shared/sealed-summary.ts'
import { summaryKeys } from '../helper/reply-plan.ts'
import { ignored } from './chat-fields.ts'
import type { Probed } from './probe.ts'

const HI = { role: 'user', content: 'hi' }
const REASONER = 'gpt-5.6-sol'
const REASONING = { type: 'reasoning', id: 'rs_1', summary: [] }
const SEALED = sealReasoning(REASONER, {
  reasoningText: { text: '...', signature: 'c2lnbmVk'.repeat(8) }
})
const SAID = { role: 'assistant', content: 'Yes.' }
const CITY = { type: 'object', properties: { city: { type: 'string' } } }
const fn = (name: string, more = {}) => ({ type: 'function', name, description: name, ...more })
const custom = (more = {}) => ({ type: 'custom', name: 'own', description: 'Own.', ...more })
const namespace = (more = {}) => ({ type: 'namespace', name: 'ns', tools: [fn('f')], ...more })
const call = (more = {}) => ({
  type: 'function_call',
  call_id: 'c1',
  name: 'f',
  arguments: '{"a":1}',
  ...more
})
const output = (more = {}) => ({
  type: 'function_call_output',
  call_id: 'c1',
  output: 'done',
  ...more
})
const loop = (
  called: object,
  answered: object = output(),
  tools: object = { tools: [fn('f')] }
) => ({
  ...tools,
  input: [HI, called, answered]
})
const TOOLS = { tools: [fn('f'), fn('g')] }
const chosen = (choice: unknown) => ({ ...TOOLS, tool_choice: choice })
const thinking = (more: object) => ({ model: 'claude-sonnet-5', ...more })
const format = (more: object) => ({ text: { format: { type: 'json_schema', ...more } } })
const nested = { json_schema: { schema: CITY } }
const RESULT = '"toolUseId":"c1","content":[{"text":"done"}]'
const SEARCH = { type: 'tool_search', execution: 'client' }

export const RESPONSES_FIELDS: Probed = {
  dialect: 'openai-responses',
  base: { model: 'claude-haiku-4.5', input: [HI] },
  probes: {
    model: { with: { model: 'claude-opus-5' }, sent: '"modelId":"claude-opus-5"' },
    input: { with: { input: 'ho' }, sent: '"ho"' },
    'input[].role': {
      with: {
        input: [
          { role: 'developer', content: 'Be brief.' },
          HI,
          { role: 'assistant', content: 'Yes.' },
          { role: 'developer', content: 'Be slow.' }
        ]
      },
      sent: 'Be brief.\\n\\nhi'
    },
    'input[].content': {
      with: { input: [{ role: 'user', content: [{ type: 'input_text', text: 'ho' }] }] },
      sent: '"ho"'
    },
    'input[].type': {
      with: { input: [HI, { type: 'message', role: 'assistant', content: 'Yes.' }, HI] },
      sent: 'Yes.'
    },
    'input[].call_id': { with: loop(call()), sent: RESULT },
    'input[].id': { with: loop(call({ id: 'c1', call_id: null })), sent: RESULT },
    'input[].name': { with: loop(call()), sent: '"name":"f","input"' },
    'input[].namespace': {
      with: loop(call({ namespace: 'ns' }), output(), { tools: [namespace()] }),
      sent: '"name":"ns__f","input"'
    },
    'input[].arguments': { with: loop(call()), sent: '"input":{"a":1}' },
    'input[].input': {
      with: loop(
        { type: 'custom_tool_call', call_id: 'c1', name: 'own', input: 'raw' },
        output({ type: 'custom_tool_call_output' }),
        { tools: [custom()] }
      ),
      sent: '"input":{"input":"raw"}'
    },
    'input[].output': { with: loop(call()), sent: RESULT },
    'input[].status': {
      with: loop(call(), output({ status: 'failed' })),
      without: loop(call()),
      sent: '"status":"error"'
    },
    'input[].tools': {
      with: { input: [{ type: 'additional_tools', role: 'developer', tools: [fn('later')] }, HI] },
      sent: '"name":"later"'
    },
    'input[].type: tool_search_call, tool_search_output': {
      with: {
        tools: [SEARCH],
        input: [
          HI,
          { type: 'tool_search_call', call_id: 'c1', arguments: { query: 'q' } },
          { type: 'tool_search_output', call_id: 'c1', tools: [fn('found')] }
        ]
      },
      without: { tools: [SEARCH] },
      sent: '"name":"found"'
    },
    'input[].type: item_reference': {
      with: { input: [HI, { type: 'item_reference', id: 'msg_kept' }, HI] },
      sent: 'KEPT-WORDS'
    },
    'input[].type: compaction_trigger': {
      with: { input: [{ type: 'compaction_trigger' }] },
      sent: 'summary',
      plan: { isCompaction: true }
    },
    'input[].type: compaction': {
      with: {
        input: [{ type: 'compaction', encrypted_content: sealSummary('SUMMED-UP', summaryKeys) }]
      },
      sent: 'SUMMED-UP'
    },
    'input[].type: reasoning': {
      with: { model: REASONER, input: [HI, { ...REASONING, encrypted_content: SEALED }, SAID, HI] },
      without: { model: REASONER, input: [HI, REASONING, SAID, HI] },
      sent: 'reasoningContent'
    },
    'input[].type: web_search_call, local_shell_call and others': {
      with: {
        input: [
          HI,
          { type: 'web_search_call', id: 'ws_1', action: { type: 'search', query: 'SEARCHED' } },
          HI
        ]
      },
      sent: 'SEARCHED'
    },
    instructions: { with: { instructions: 'Be brief.' }, sent: 'Be brief.\\n\\nhi' },
    tools: { with: { tools: [fn('f')] }, sent: '"toolSpecification"' },
    'tools[].type': { with: { tools: [fn('f')] }, sent: '"toolSpecification"' },
    'tools[].name': { with: { tools: [fn('a_name')] }, sent: '"name":"a_name"' },
    'tools[].description': {
      with: { tools: [fn('f', { description: 'What it does.' })] },
      sent: 'What it does.'
    },
    'tools[].parameters': { with: { tools: [fn('f', { parameters: CITY })] }, sent: '"city"' },
    'tools[].input_schema': { with: { tools: [fn('f', { input_schema: CITY })] }, sent: '"city"' },
    'tools[].strict': {
      with: { tools: [fn('f', { strict: true })] },
      without: { tools: [fn('f')] }
    },
    'tools[].defer_loading': {
      with: { tools: [fn('f', { defer_loading: true })] },
      without: { tools: [fn('f')] }
    },
    'tools[].type: custom': {
      with: { tools: [custom()] },
      sent: 'Put the entire raw payload',
      plan: { toolForms: { own: { kind: 'text' } } }
    },
    'tools[].format.type': {
      with: { tools: [custom({ format: { type: 'text' } })] },
      without: { tools: [custom()] }
    },
    'tools[].format.syntax': {
      with: {
        tools: [custom({ format: { type: 'grammar', syntax: 'lark', definition: 'start: x' } })]
      },
      sent: 'lark grammar'
    },
    'tools[].format.definition': {
      with: { tools: [custom({ format: { type: 'grammar', definition: 'start: x' } })] },
      sent: 'start: x'
    },
    'tools[].type: namespace': {
      with: { tools: [namespace()] },
      sent: '"name":"ns__f"',
      plan: { toolForms: { ns__f: { name: 'f', namespace: 'ns' } } }
    },
    'tools[].tools': {
      with: { tools: [namespace()] },
      without: { tools: [namespace({ tools: [] })] },
      sent: '"name":"ns__f"'
    },
    'tools[].type: tool_search': {
      with: { tools: [SEARCH] },
      sent: '"name":"tool_search"',
      plan: { toolForms: { tool_search: { kind: 'search' } } }
    },
    'tools[].execution': { with: { tools: [{ ...SEARCH, execution: 'server' }] } },
    'tools[].type: web_search': {
      with: { tools: [{ type: 'web_search' }] },
      sent: '"web_search"',
      plan: { rounds: { webSearch: { maxUses: 10 } } }
    },
    'tools[].type: file_search, code_interpreter, image_generation, mcp and others': {
      with: { tools: [fn('f'), { type: 'image_generation' }] },
      without: { tools: [fn('f')] }
    },
    tool_choice: {
      with: chosen('required'),
      without: TOOLS,
      plan: { rounds: { dueCall: { name: null } } }
    },
    'tool_choice.type': { with: chosen({ type: 'none' }), without: TOOLS },
    'tool_choice.name': {
      with: chosen({ type: 'function', name: 'g' }),
      without: TOOLS,
      plan: { rounds: { dueCall: { name: 'g' } } }
    },
    'tool_choice.namespace': {
      with: {
        tools: [namespace(), fn('g')],
        tool_choice: { type: 'function', name: 'f', namespace: 'ns' }
      },
      without: { tools: [namespace(), fn('g')] },
      plan: { rounds: { dueCall: { name: 'ns__f' } } }
    },
    'tool_choice.function.name': {
      with: chosen({ type: 'function', function: { name: 'g' } }),
      without: TOOLS,
      plan: { rounds: { dueCall: { name: 'g' } } }
    },
    'tool_choice.mode': {
      with: chosen({ type: 'allowed_tools', mode: 'required', tools: [fn('f')] }),
      without: chosen({ type: 'allowed_tools', mode: 'auto', tools: [fn('f')] }),
      plan: { rounds: { dueCall: { name: null } } }
    },
    'tool_choice.tools': {
      with: chosen({ type: 'allowed_tools', tools: [fn('f')] }),
      without: TOOLS
    },
    parallel_tool_calls: {
      with: { ...TOOLS, parallel_tool_calls: false },
      without: TOOLS,
      plan: { isSingleToolCall: true }
    },
    stream: { with: { stream: true }, plan: { isStream: true } },
    store: { with: { store: false }, plan: { keepsItems: false } },
    background: { with: { background: true } },
    previous_response_id: { with: { previous_response_id: 'resp_kept' }, sent: 'KEPT-WORDS' },
    conversation: { with: { conversation: 'conv_1' } },
    prompt: { with: { prompt: { id: 'pmpt_1' } } },
    max_output_tokens: { with: { max_output_tokens: 50 }, plan: { maxOutputTokens: 50 } },
    'reasoning.effort': {
      with: thinking({ reasoning: { effort: 'high' } }),
      without: thinking({}),
      sent: '"effort":"high"',
      plan: { reasoning: 'native' }
    },
    'reasoning.summary': {
      with: thinking({ reasoning: { summary: 'auto' } }),
      without: thinking({}),
      sent: '"adaptive"'
    },
    'reasoning.context': {
      with: thinking({ reasoning: { effort: 'low', context: 'all_turns' } }),
      without: thinking({ reasoning: { effort: 'low' } })
    },
    'text.format.type': {
      with: { text: { format: { type: 'json_object' } } },
      plan: { isJsonAnswer: true, rounds: { jsonForm: { type: 'object' } } }
    },
    'text.format.schema': {
      with: format({ schema: CITY }),
      without: format({}),
      sent: 'city',
      plan: { rounds: { jsonForm: { type: 'schema' } } }
    },
    'text.format.json_schema.schema': { with: format(nested), without: format({}), sent: 'city' },
    'text.format.strict': {
      with: format({ schema: CITY, strict: true }),
      without: format({ schema: CITY })
    },
    'text.verbosity': { with: { text: { verbosity: 'low' } } },
    'response_format.type': {
      with: { response_format: { type: 'json_object' } },
      plan: { isJsonAnswer: true }
    },
    'response_format.schema': {
      with: { response_format: { type: 'json_schema', schema: CITY } },
      sent: 'city'
    },
    'response_format.json_schema.schema': {
      with: { response_format: { type: 'json_schema', ...nested } },
      sent: 'city'
    },
    prompt_cache_key: { with: { prompt_cache_key: 'k' } },
    include: { with: { include: ['reasoning.encrypted_content'] }, plan: { isSealed: true } },
    client_metadata: { with: { client_metadata: { thread_id: 't' } } },
    user: { with: { user: 'u' } },
    ...ignored({
      temperature: 0.5,
      top_p: 0.5,
      presence_penalty: 0.5,
      frequency_penalty: 0.5,
      top_logprobs: 3,
      max_tool_calls: 5,
      truncation: 'auto',
      service_tier: 'flex',
      metadata: { a: 'b' },
      safety_identifier: 's',
      prompt_cache_retention: '24h',
      stream_options: { include_obfuscation: false },
      'an unknown member': { of: ['any', 'shape'] }
    })
  }
}

import { ignored } from './chat-fields.ts'
import type { Probed } from './probe.ts'

const HI = { role: 'user', content: 'hi' }
const CITY = { type: 'object', properties: { city: { type: 'string' } } }
const tool = (name: string, more = {}) => ({ name, description: name, input_schema: {}, ...more })
const plain = (more: object) => ({ name: 'f', description: 'F', input_schema: CITY, ...more })
const TOOLS = { tools: [plain({}), plain({ name: 'g' })] }
const thinking = (more: object) => ({ model: 'claude-sonnet-5', ...more })
const schema = (value: unknown) => ({
  output_config: { format: { type: 'json_schema', schema: value } }
})
const oldSchema = (value: unknown) => ({ output_format: { type: 'json_schema', schema: value } })

export const MESSAGES_FIELDS: Probed = {
  dialect: 'anthropic-messages',
  base: { model: 'claude-haiku-4.5', messages: [HI] },
  probes: {
    model: { with: { model: 'claude-opus-5' }, sent: '"modelId":"claude-opus-5"' },
    'messages[].role': {
      with: {
        messages: [
          { role: 'system', content: 'Be brief.' },
          HI,
          { role: 'assistant', content: 'Yes.' },
          { role: 'system', content: 'Be slow.' }
        ]
      },
      sent: 'Be brief.\\n\\nhi'
    },
    'messages[].content': { with: { messages: [{ role: 'user', content: 'ho' }] }, sent: '"ho"' },
    'messages[].clear_at': {
      with: { messages: [HI, { role: 'system', content: 'S', clear_at: 'next_user_message' }, HI] },
      without: { messages: [HI, { role: 'system', content: 'S' }, HI] }
    },
    'messages[].output_config': {
      with: { messages: [{ role: 'system', content: 'S', output_config: { effort: 'low' } }, HI] },
      without: { messages: [{ role: 'system', content: 'S' }, HI] }
    },
    system: { with: { system: [{ type: 'text', text: 'Be brief.' }] }, sent: 'Be brief.\\n\\nhi' },
    tools: { with: { tools: [plain({})] }, sent: '"toolSpecification"' },
    'tools[].type': { with: { tools: [plain({ type: 'custom' })] }, sent: '"toolSpecification"' },
    'tools[].name': { with: { tools: [plain({ name: 'a_name' })] }, sent: '"name":"a_name"' },
    'tools[].description': {
      with: { tools: [plain({ description: 'What it does.' })] },
      sent: 'What it does.'
    },
    'tools[].input_schema': { with: { tools: [plain({})] }, sent: '"city"' },
    'tools[].type: web_search_*': {
      with: { tools: [{ type: 'web_search_20250305', name: 'web_search', max_uses: 3 }] },
      sent: '"web_search"',
      plan: { rounds: { webSearch: { maxUses: 3 } } }
    },
    'tools[].type: bash_*, computer_*, code_execution_* and others': {
      with: { tools: [plain({}), { type: 'code_execution_20250825', name: 'code_execution' }] },
      without: { tools: [plain({})] }
    },
    'tools[].name: DeferredToolPlaceholder': {
      with: { tools: [plain({}), tool('DeferredToolPlaceholder', { defer_loading: true })] },
      without: { tools: [plain({})] }
    },
    ...withTool({
      defer_loading: true,
      strict: true,
      cache_control: { type: 'ephemeral' },
      eager_input_streaming: true,
      allowed_callers: ['direct'],
      input_examples: []
    }),
    'tool_choice.type': {
      with: { ...TOOLS, tool_choice: { type: 'any' } },
      without: TOOLS,
      plan: { rounds: { dueCall: { name: null } } }
    },
    'tool_choice.name': {
      with: { ...TOOLS, tool_choice: { type: 'tool', name: 'g' } },
      without: TOOLS,
      plan: { rounds: { dueCall: { name: 'g' } } }
    },
    'tool_choice.disable_parallel_tool_use': {
      with: { ...TOOLS, tool_choice: { type: 'auto', disable_parallel_tool_use: true } },
      without: TOOLS,
      plan: { isSingleToolCall: true }
    },
    max_tokens: { with: { max_tokens: 50 }, plan: { maxOutputTokens: 50 } },
    stop_sequences: { with: { stop_sequences: ['END'] }, plan: { stopSequences: ['END'] } },
    stream: { with: { stream: true }, plan: { isStream: true } },
    'thinking.type': {
      with: thinking({ thinking: { type: 'adaptive' } }),
      without: thinking({}),
      sent: '"type":"adaptive"',
      plan: { reasoning: 'native' }
    },
    'thinking.budget_tokens': {
      with: thinking({ thinking: { type: 'enabled', budget_tokens: 2000 } }),
      without: thinking({ thinking: { type: 'enabled' } }),
      sent: '"effort":"low"'
    },
    'thinking.display': {
      with: thinking({ thinking: { type: 'adaptive', display: 'omitted' } }),
      without: thinking({ thinking: { type: 'adaptive' } }),
      sent: '"display":"omitted"'
    },
    'output_config.effort': {
      with: thinking({ thinking: { type: 'adaptive' }, output_config: { effort: 'low' } }),
      without: thinking({ thinking: { type: 'adaptive' } }),
      sent: '"effort":"low"'
    },
    'output_config.format.type': {
      with: schema(undefined),
      plan: { isJsonAnswer: true, rounds: { jsonForm: { type: 'value' } } }
    },
    'output_config.format.schema': {
      with: schema(CITY),
      without: schema(undefined),
      sent: 'city',
      plan: { rounds: { jsonForm: { type: 'schema' } } }
    },
    'output_format.type': { with: oldSchema(undefined), plan: { isJsonAnswer: true } },
    'output_format.schema': { with: oldSchema(CITY), without: oldSchema(undefined), sent: 'city' },
    'metadata.user_id': { with: { metadata: { user_id: 'u' } } },
    'context_management.edits': {
      with: { context_management: { edits: [{ type: 'clear_thinking_20251015' }] } },
      plan: { edits: [] }
    },
    'context_management.edits[].type: compact_20260112 and others': {
      with: { context_management: { edits: [{ type: 'compact_20260112' }] } },
      refusedAt: 'context_management.edits[0].type'
    },
    thread: { with: { thread: { type: 'create' } } },
    safeguards: {
      with: { safeguards: [{ type: 'dangerous_tool_use' }] },
      plan: { safeguards: ['dangerous_tool_use'] }
    },
    ...ignored({
      temperature: 0.5,
      top_p: 0.5,
      top_k: 5,
      service_tier: 'auto',
      cache_control: { type: 'ephemeral' },
      container: 'c',
      mcp_servers: [{ type: 'url', url: 'https://m.example', name: 'm' }],
      inference_geo: 'us',
      'an unknown member': { of: ['any', 'shape'] }
    })
  }
}

/** Members of a tool that nothing comes of. */
function withTool(members: Readonly<Record<string, unknown>>) {
  return Object.fromEntries(
    Object.entries(members).map(([name, value]) => [
      `tools[].${name}`,
      { with: { tools: [plain({ [name]: value })] }, without: { tools: [plain({})] } }
    ])
  )
}

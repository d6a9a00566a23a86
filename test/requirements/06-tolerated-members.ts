import type { Test } from 'tap'
import { type Api, chat, messages, responses } from './dialects.ts'
import type { Stand } from './stand.ts'

type Json = Record<string, unknown>

const CACHE = { cache_control: { type: 'ephemeral', ttl: '1h' } }

/** What clients send and nothing here can serve, each by itself and then all at once. */
const TOLERATED: ReadonlyMap<Api, Json> = new Map([
  [
    messages,
    {
      thinking: { type: 'adaptive', display: 'omitted' },
      output_config: { effort: 'medium' },
      context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
      metadata: { user_id: '{"device_id":"d","account_uuid":"","session_id":"s"}' },
      service_tier: 'auto',
      safeguards: [{ type: 'dangerous_tool_use', classifier_context: {} }],
      temperature: 1,
      top_p: 0.9,
      top_k: 40,
      container: null,
      mcp_servers: [],
      inference_geo: 'us',
      cache_control: { type: 'ephemeral' },
      system: [{ type: 'text', text: 'Be brief.', ...CACHE }],
      tools: [
        {
          name: 'Bash',
          input_schema: { type: 'object', properties: {} },
          eager_input_streaming: true,
          defer_loading: false,
          strict: true,
          allowed_callers: ['direct'],
          ...CACHE
        }
      ],
      a_member_to_come: { of: ['any', 'shape'] }
    }
  ],
  [
    chat,
    {
      store: false,
      metadata: { a: 'b' },
      seed: 7,
      logprobs: false,
      top_logprobs: 0,
      logit_bias: {},
      frequency_penalty: 0,
      presence_penalty: 0,
      temperature: 1,
      top_p: 1,
      service_tier: 'auto',
      stream_options: { include_usage: true, include_obfuscation: false },
      prompt_cache_key: 'k',
      prompt_cache_retention: '24h',
      safety_identifier: 's',
      user: 'u',
      verbosity: 'low',
      modalities: ['text'],
      prediction: { type: 'content', content: 'x' },
      reasoning_effort: 'medium',
      parallel_tool_calls: true,
      n: 1,
      a_member_to_come: { of: ['any', 'shape'] }
    }
  ],
  [
    responses,
    {
      store: false,
      include: ['reasoning.encrypted_content', 'web_search_call.action.sources'],
      prompt_cache_key: 'k',
      prompt_cache_retention: '24h',
      client_metadata: { thread_id: 't', 'x-codex-turn-metadata': '{}' },
      reasoning: { effort: 'medium', summary: 'auto', context: 'all_turns' },
      text: { verbosity: 'low' },
      truncation: 'auto',
      service_tier: 'priority',
      metadata: { a: 'b' },
      parallel_tool_calls: true,
      stream_options: { include_obfuscation: false },
      safety_identifier: 's',
      user: 'u',
      temperature: 1,
      top_p: 1,
      top_logprobs: 0,
      max_tool_calls: 5,
      background: false,
      a_member_to_come: { of: ['any', 'shape'] }
    }
  ]
])

/** Nothing that can't be served is an error. */
export async function check(t: Test, stand: Stand): Promise<void> {
  for (const [api, members] of TOLERATED) {
    t.test(api.path, async (t) => {
      for (const [name, value] of Object.entries(members)) {
        const { status, text } = await stand.call(api.path, {
          body: api.ask('hi', { [name]: value })
        })
        t.equal(status, 200, `${name}: ${text.slice(0, 200)}`)
      }
      const body = api.ask('sim:say="all of it"', { ...members, stream: true })
      const all = await stand.call(api.path, { body })
      t.equal(all.status, 200, 'all at once')
      t.equal(api.readStream(all.text).text, 'all of it')
      const absent = Object.fromEntries(Object.keys(members).map((name) => [name, null]))
      const unset = await stand.call(api.path, { body: api.ask('hi', absent) })
      t.equal(unset.status, 200, `null for all: ${unset.text.slice(0, 200)}`)
    })
  }

  t.test('Messages: thinking in every form, budgets over max_tokens too', async (t) => {
    for (const thinking of [
      { type: 'enabled', budget_tokens: 32_000 },
      { type: 'enabled', budget_tokens: 31_999, display: 'updates' },
      { type: 'adaptive' },
      { type: 'adaptive', display: 'a-word-to-come' },
      { type: 'between_tools' },
      { type: 'disabled' }
    ]) {
      for (const model of ['claude-haiku-5.5', 'claude-sonnet-5', 'claude-haiku-4.5']) {
        const body = messages.ask('hi', { model, max_tokens: 4096, thinking })
        const { status } = await stand.call(messages.path, { body })
        t.equal(status, 200, `${model} ${JSON.stringify(thinking)}`)
      }
    }
  })

  t.test('Messages: cache_control inside every block', async (t) => {
    const body = messages.ask('', {
      tools: [{ name: 'Bash', input_schema: { type: 'object' }, ...CACHE }],
      messages: [
        { role: 'user', content: [{ type: 'text', text: 'go', ...CACHE }] },
        {
          role: 'assistant',
          content: [{ type: 'tool_use', id: 't1', name: 'Bash', input: {}, ...CACHE }]
        },
        {
          role: 'user',
          content: [
            {
              type: 'tool_result',
              tool_use_id: 't1',
              content: [{ type: 'text', text: 'done', ...CACHE }],
              ...CACHE
            }
          ]
        }
      ]
    })
    const { status } = await stand.call(messages.path, { body })
    t.equal(status, 200)
    t.notMatch(JSON.stringify(stand.lastSent), /cache_control|ephemeral/)
  })
}

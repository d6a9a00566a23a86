import t from 'tap'
import { toText } from '../../../src/dialects/answer/output-text.ts'
import { sealReasoning } from '../../../src/kiro/conversation/signed-reasoning.ts'
import type { UpstreamEvent } from '../../../src/kiro/wire/event.ts'
import { collect, readParts } from '../../helper/read-answer.ts'
import { anthropicIdentity, createCollector, replyPlan } from '../../helper/reply-plan.ts'
import { closing, text, tool } from '../../helper/upstream-events.ts'

const changes = { dialect: 'anthropic-messages', reasoning: 'native', isStream: false } as const
const plan = replyPlan(changes)

function answer(events: readonly UpstreamEvent[], stopSequences: readonly string[] = []): unknown {
  const parts = readParts(replyPlan({ ...changes, stopSequences }), events, {
    weigh: () => 3
  })
  return collect(createCollector(plan, anthropicIdentity), parts)
}

function usageOf(counts: object) {
  return {
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: 0,
    cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
    inference_geo: null,
    output_tokens_details: null,
    server_tool_use: null,
    service_tier: 'standard',
    speed: null,
    ...counts
  }
}

t.test('a text answer is a message', async (t) => {
  t.same(answer([text('Hel'), text('lo'), ...closing()]), {
    id: 'msg_1f',
    type: 'message',
    role: 'assistant',
    model: 'claude-haiku-4.5',
    container: null,
    diagnostics: null,
    content: [{ type: 'text', text: 'Hello' }],
    stop_reason: 'end_turn',
    stop_sequence: null,
    stop_details: null,
    usage: usageOf({ input_tokens: 2997, output_tokens: 3 })
  })
})

const contents: readonly [name: string, events: readonly UpstreamEvent[], content: unknown][] = [
  ['an empty answer has no content', [], []],
  [
    'blocks keep their order',
    [
      { type: 'reasoning', text: 'a' },
      { type: 'reasoning', text: 'b' },
      { type: 'reasoning', signature: 's' },
      { type: 'reasoning', redacted: 'YQ==' },
      text('c'),
      tool('t1', 'f', { stop: true }),
      text('d')
    ],
    [
      { type: 'thinking', thinking: 'ab', signature: 's' },
      {
        type: 'redacted_thinking',
        data: sealReasoning('claude-haiku-4.5', { redactedContent: 'YQ==' })
      },
      { type: 'text', text: 'c' },
      { type: 'tool_use', id: 't1', caller: { type: 'direct' }, name: 'f', input: {} },
      { type: 'text', text: 'd' }
    ]
  ],
  [
    'a signature ends its block',
    [
      { type: 'reasoning', text: 'a', signature: '1' },
      { type: 'reasoning', text: 'b', signature: '2' }
    ],
    [
      { type: 'thinking', thinking: 'a', signature: '1' },
      { type: 'thinking', thinking: 'b', signature: '2' }
    ]
  ],
  [
    'reasoning without a signature has an empty one',
    [{ type: 'reasoning', text: 'a' }],
    [{ type: 'thinking', thinking: 'a', signature: '' }]
  ]
]

for (const [name, events, content] of contents) {
  t.test(name, async (t) => t.same(Object(answer(events)).content, content))
}

t.test('arguments are passed on as they are, large numbers and all', async (t) => {
  const input = `{"n": 12345678901234567890, "s": "${'😀'.repeat(2000)}"}`
  const collector = createCollector(plan, anthropicIdentity)
  const parts = readParts(plan, [tool('t1', 'f', { input, stop: true })])
  for (const part of parts) collector.push(part)
  t.ok(toText(collector.toJson()).includes(`"input":${input}}`))
})

t.test('the stop sequence is named', async (t) => {
  t.match(answer([text('abcENDx')], ['END']), {
    content: [{ text: 'abc' }],
    stop_reason: 'stop_sequence',
    stop_sequence: 'END'
  })
})

t.test('cache counts are told where the upstream gave them', async (t) => {
  const counts = { uncachedInputTokens: 100, cacheReadInputTokens: 900, outputTokens: 50 }
  t.same(
    Object(answer([{ type: 'metadata', tokenUsage: counts }])).usage,
    usageOf({ input_tokens: 100, output_tokens: 50, cache_read_input_tokens: 900 })
  )
})

t.test('toJson() before the end is a bug', async (t) => {
  t.throws(() => createCollector(plan, anthropicIdentity).toJson(), /not ended/)
})

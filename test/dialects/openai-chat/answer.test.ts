import t from 'tap'
import { charCounter } from '../../helper/char-counter.ts'
import type { UpstreamEvent } from '../../../src/kiro/wire/event.ts'
import { collect, readParts } from '../../helper/read-answer.ts'
import { createCollector, openAiIdentity, replyPlan } from '../../helper/reply-plan.ts'
import { closing, text, tool } from '../../helper/upstream-events.ts'

const plan = replyPlan({ reasoning: 'native', isStream: false })

function answer(events: readonly UpstreamEvent[]): unknown {
  const parts = readParts(plan, events, { newCounter: () => charCounter(3) })
  return collect(createCollector(plan, openAiIdentity), parts)
}

t.test('a text answer is a chat completion', async (t) => {
  t.same(answer([text('Hel'), text('lo'), ...closing()]), {
    id: 'chatcmpl-1f',
    object: 'chat.completion',
    created: 1_760_000_000,
    model: 'claude-haiku-4.5',
    system_fingerprint: null,
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: 'Hello', refusal: null, annotations: [] },
        finish_reason: 'stop',
        logprobs: null
      }
    ],
    usage: { prompt_tokens: 2997, completion_tokens: 3, total_tokens: 3000, credits_used: 0.02 }
  })
})

const call = {
  id: 't1',
  type: 'function',
  function: { name: 'f', arguments: '{"n":12345678901234567890}' }
}
const callEvent = tool('t1', 'f', { input: '{"n":12345678901234567890}', stop: true })

const messages: readonly [name: string, events: readonly UpstreamEvent[], message: object][] = [
  [
    'a call without text has null content',
    [callEvent],
    { role: 'assistant', content: null, refusal: null, annotations: [], tool_calls: [call] }
  ],
  [
    'text before a call is kept',
    [text('So: '), callEvent],
    { role: 'assistant', content: 'So: ', refusal: null, annotations: [], tool_calls: [call] }
  ],
  [
    'reasoning is told apart; its signature is nothing here',
    [
      { type: 'reasoning', text: 'a' },
      { type: 'reasoning', text: 'b', signature: 's', redacted: 'YQ==' },
      text('c')
    ],
    { role: 'assistant', content: 'c', refusal: null, annotations: [], reasoning_content: 'ab' }
  ],
  [
    'an empty answer has empty content',
    [],
    { role: 'assistant', content: '', refusal: null, annotations: [] }
  ]
]

for (const [name, events, message] of messages) {
  t.test(name, async (t) => t.same(Object(answer(events)).choices[0].message, message))
}

t.test('toJson() before the end is a bug', async (t) => {
  t.throws(() => createCollector(plan, openAiIdentity).toJson(), /not ended/)
})

t.test('a call of a legacy function is one', async (t) => {
  const legacy = replyPlan({ isLegacyCall: true, isStream: false })
  const collector = createCollector(legacy, openAiIdentity)
  t.match(collect(collector, readParts(legacy, [callEvent])), {
    choices: [
      {
        message: {
          content: null,
          function_call: { name: 'f', arguments: '{"n":12345678901234567890}' },
          tool_calls: undefined
        },
        finish_reason: 'function_call'
      }
    ]
  })
  const wordy = createCollector(legacy, openAiIdentity)
  t.match(collect(wordy, readParts(legacy, [text('a')])), {
    choices: [{ message: { content: 'a' }, finish_reason: 'stop' }]
  })
})

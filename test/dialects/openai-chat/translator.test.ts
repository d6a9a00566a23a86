import t from 'tap'
import { charCounter } from '../../helper/char-counter.ts'
import { toText } from '../../../src/dialects/answer/answer-writer.ts'
import type { PartReaderOptions } from '../../../src/dialects/answer/part-reader.ts'
import type { ReplyPlan } from '../../../src/dialects/plan/plan.ts'
import type { UpstreamEvent } from '../../../src/kiro/wire/event.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { readOpenAiStream } from '../../helper/openai-grammar.ts'
import { readParts, translate } from '../../helper/read-answer.ts'
import { createTranslator, openAiIdentity, replyPlan } from '../../helper/reply-plan.ts'
import { closing, text, tool } from '../../helper/upstream-events.ts'

function stream(
  events: readonly UpstreamEvent[],
  plan: ReplyPlan = replyPlan(),
  options: PartReaderOptions = {}
): string {
  const translator = createTranslator(plan, openAiIdentity)
  return translate(translator, readParts(plan, events, options))
}

const head =
  'data: {"id":"chatcmpl-1f","object":"chat.completion.chunk","created":1760000000,"model":"claude-haiku-4.5","choices":'

t.test('a text answer is exactly these chunks, a repeated delta included', async (t) => {
  const events = [text('Hel'), text('lo'), text('lo'), ...closing()]
  const out = stream(events, replyPlan(), { newCounter: () => charCounter(3) })
  t.equal(
    out,
    [
      `${head}[{"index":0,"delta":{"role":"assistant","content":"Hel"},"finish_reason":null}]}`,
      `${head}[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}`,
      `${head}[{"index":0,"delta":{"content":"lo"},"finish_reason":null}]}`,
      `${head}[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
      `${head}[],"usage":{"prompt_tokens":2997,"completion_tokens":3,"total_tokens":3000,"credits_used":0.02}}`,
      'data: [DONE]',
      ''
    ].join('\n\n')
  )
})

t.test('a tool call is exactly these deltas, its ghost is not seen', async (t) => {
  const events = [
    text('Checking.'),
    tool('tooluse_a', 'get_weather'),
    tool('tooluse_a', 'get_weather', { input: '{"ci' }),
    tool('tooluse_a', 'get_weather', { input: 'ty":"Oslo"}' }),
    tool('tooluse_a', 'get_weather', { stop: true }),
    tool('tooluse_a', 'get_weather'),
    tool('tooluse_a', 'get_weather', { stop: true }),
    { type: 'context-usage', percentage: 2 } as const
  ]
  const { deltas, finishReason } = readOpenAiStream(stream(events))
  t.same(deltas, [
    { role: 'assistant', content: 'Checking.' },
    {
      tool_calls: [
        {
          index: 0,
          id: 'tooluse_a',
          type: 'function',
          function: { name: 'get_weather', arguments: '' }
        }
      ]
    },
    { tool_calls: [{ index: 0, function: { arguments: '{"city":"Oslo"}' } }] },
    {}
  ])
  t.equal(finishReason, 'tool_calls')
})

t.test('reasoning in tags comes out as reasoning_content', async (t) => {
  const events = [text('<thi'), text('nking>a<b</thin'), text('king>\n\nDone'), ...closing()]
  const {
    text: content,
    reasoning,
    deltas
  } = readOpenAiStream(stream(events, replyPlan({ reasoning: 'tags' })))
  t.equal(reasoning, 'a<b')
  t.equal(content, 'Done')
  t.notMatch(JSON.stringify(deltas), /thin|king/)
})

t.test('a truncated call is dropped and the finish is length', async (t) => {
  const events = [
    tool('t9', 'write'),
    tool('t9', 'write', { input: '{"path":"a.txt","body":"xxxx' }),
    { type: 'context-usage', percentage: 12 } as const
  ]
  const { deltas, finishReason } = readOpenAiStream(stream(events))
  t.equal(finishReason, 'length')
  t.same(deltas, [{ role: 'assistant', content: '' }, {}])
})

t.test('token counts of the upstream are told', async (t) => {
  const events: readonly UpstreamEvent[] = [
    text('x'),
    { type: 'metadata', tokenUsage: { uncachedInputTokens: 100, cacheReadInputTokens: 900 } },
    {
      type: 'metadata',
      stopReason: 'END_TURN',
      tokenUsage: { outputTokens: 50, totalTokens: 1050 }
    },
    { type: 'context-usage', percentage: 50 }
  ]
  t.same(readOpenAiStream(stream(events)).usage, {
    prompt_tokens: 1000,
    completion_tokens: 50,
    total_tokens: 1050,
    prompt_tokens_details: { cached_tokens: 900 }
  })
})

t.test('push()', async (t) => {
  t.test('gives a usage chunk only to those who asked', async (t) => {
    const out = stream([text('a'), ...closing()], replyPlan({ wantsUsage: false }))
    t.equal(readOpenAiStream(out).usage, null)
    t.ok(out.endsWith('"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'))
  })

  t.test('counts calls from 0 and puts the role before the first', async (t) => {
    const out = stream([
      tool('t1', 'a', { stop: true }),
      tool('t2', 'b', { input: '{"k":1}', stop: true }),
      ...closing('TOOL_USE')
    ])
    t.same(readOpenAiStream(out).calls, [
      { id: 't1', name: 'a', json: '{}' },
      { id: 't2', name: 'b', json: '{"k":1}' }
    ])
    t.match(out, '"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"t1"')
    t.match(out, '"tool_calls":[{"index":1,"function":{"arguments":"{\\"k\\":1}"}}]')
  })

  t.test('sends an empty answer as a role and a finish', async (t) => {
    const { deltas, finishReason } = readOpenAiStream(stream([]))
    t.same(deltas, [{ role: 'assistant', content: '' }, {}])
    t.equal(finishReason, 'stop')
  })

  t.test('tells reasoning tokens apart', async (t) => {
    const events = [{ type: 'reasoning', text: 'hm' } as const, text('abc'), ...closing()]
    const out = stream(events, replyPlan({ reasoning: 'native' }), {
      newCounter: () => charCounter()
    })
    t.match(readOpenAiStream(out).usage, {
      completion_tokens: 5,
      completion_tokens_details: { reasoning_tokens: 2 }
    })
  })

  t.test('has nothing to say about signatures and hidden reasoning', async (t) => {
    const translator = createTranslator(replyPlan(), openAiIdentity)
    t.equal(translator.push({ type: 'signature', signature: 'c2ln' }), '')
    t.equal(translator.push({ type: 'redacted', content: { redactedContent: 'YQ==' } }), '')
    t.equal(translator.push({ type: 'tool-end' }), '')
  })

  t.test('escapes what would break a line', async (t) => {
    const content = 'a\n\r\u2028"\\\u0000\ud83d\ude00'
    t.equal(readOpenAiStream(stream([text(content), ...closing()])).text, content)
  })
})

t.test('fail()', async (t) => {
  t.test('sends the error chunk and no end marker', async (t) => {
    const translator = createTranslator(replyPlan(), openAiIdentity)
    const error = new GatewayError('GW_UPSTREAM_STATUS', 'log only', { message: 'boom' })
    const out =
      toText(translator.push({ type: 'text', text: 'a' })) + toText(translator.fail(error))
    t.ok(
      out.endsWith(
        'data: {"error":{"message":"boom","type":"server_error","param":null,"code":"upstream_error"}}\n\n'
      )
    )
    t.notMatch(out, 'DONE')
    t.equal(translator.heartbeat(), '')
  })

  t.test('says nothing of what a foreign error says', async (t) => {
    const out = createTranslator(replyPlan(), openAiIdentity).fail(new Error('secret'))
    t.notMatch(out, 'secret')
    t.match(out, 'internal_error')
  })
})

t.test('heartbeat() is a comment while the answer lasts, and nothing after it', async (t) => {
  const translator = createTranslator(replyPlan(), openAiIdentity)
  t.equal(translator.heartbeat(), ': ping\n\n')
  translator.push({ type: 'text', text: 'a' })
  t.equal(translator.heartbeat(), ': ping\n\n')
  const usage = { inputTokens: 1, outputTokens: 1 }
  translator.push({ type: 'end', reason: 'stop', usage })
  t.equal(translator.heartbeat(), '')
})

t.test('a call that broke off is told by the reason, also behind a whole one', async (t) => {
  const events = [
    tool('1', 'f', { stop: true }),
    tool('2', 'f', { input: `{"a":"${'x'.repeat(3000)}` })
  ]
  const out = stream(events)
  t.match(out, '"id":"2"')
  t.match(out, '"finish_reason":"length"')
})

t.test('a call of a legacy function is one, and the only one', async (t) => {
  const plan = replyPlan({ isLegacyCall: true, isSingleToolCall: true, wantsUsage: false })
  const calls = [tool('1', 'f', { input: '{"a":1}', stop: true }), tool('2', 'g', { stop: true })]
  t.equal(
    stream(calls, plan),
    [
      `${head}[{"index":0,"delta":{"role":"assistant","function_call":{"name":"f","arguments":""}},"finish_reason":null}]}`,
      `${head}[{"index":0,"delta":{"function_call":{"arguments":"{\\"a\\":1}"}},"finish_reason":null}]}`,
      `${head}[{"index":0,"delta":{},"finish_reason":"function_call"}]}`,
      'data: [DONE]',
      ''
    ].join('\n\n')
  )
})

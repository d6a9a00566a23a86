import t from 'tap'
import { charCounter } from '../../helper/char-counter.ts'
import { toText } from '../../../src/dialects/answer/answer-writer.ts'
import type { PartReaderOptions } from '../../../src/dialects/answer/part-reader.ts'
import type { EndReason } from '../../../src/dialects/answer/stream-part.ts'
import type { ReplyPlan } from '../../../src/dialects/plan/plan.ts'
import { sealReasoning } from '../../../src/kiro/conversation/signed-reasoning.ts'
import type { UpstreamEvent } from '../../../src/kiro/wire/event.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
import { readAnthropicStream } from '../../helper/anthropic-grammar.ts'
import { readParts, translate } from '../../helper/read-answer.ts'
import { anthropicIdentity, createTranslator, replyPlan } from '../../helper/reply-plan.ts'
import { closing, text, tool } from '../../helper/upstream-events.ts'

const plain = replyPlan({ dialect: 'anthropic-messages' })
const native = replyPlan({ dialect: 'anthropic-messages', reasoning: 'native' })

function stream(
  events: readonly UpstreamEvent[],
  plan: ReplyPlan = plain,
  options: PartReaderOptions = {}
): string {
  const translator = createTranslator(plan, anthropicIdentity)
  return translate(translator, readParts(plan, events, options))
}

const opening = `event: message_start
data: {"type":"message_start","message":{"id":"msg_1f","type":"message","role":"assistant","model":"claude-haiku-4.5","container":null,"diagnostics":null,"content":[],"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":{"input_tokens":900,"output_tokens":1,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"output_tokens_details":null,"server_tool_use":null,"cache_creation":null,"inference_geo":null,"service_tier":"standard","speed":null}}}

event: ping
data: {"type":"ping"}

`

/** The delta of `message_delta`. */
function deltaOf(reason: string, sequence: string | null = null) {
  return { stop_reason: reason, stop_sequence: sequence, stop_details: null, container: null }
}

// With the cache counts in message_start that clients need.
t.test('two parallel calls are exactly these events', async (t) => {
  const events = [
    tool('t1', 'a'),
    tool('t1', 'a', { stop: true }),
    tool('t2', 'b', { input: '{"k":[1,' }),
    tool('t2', 'b', { input: '2]}' }),
    tool('t2', 'b', { stop: true }),
    { type: 'context-usage', percentage: 0.5 } as const,
    { type: 'metering', credits: 0.01 } as const
  ]
  t.equal(
    stream(events, plain, { newCounter: () => charCounter(12) }),
    `${opening}event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"tool_use","id":"t1","caller":{"type":"direct"},"name":"a","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t2","caller":{"type":"direct"},"name":"b","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\\"k\\":[1,2]}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null,"stop_details":null,"container":null},"usage":{"input_tokens":988,"output_tokens":12,"cache_read_input_tokens":0,"cache_creation_input_tokens":0,"output_tokens_details":null,"server_tool_use":null}}

event: message_stop
data: {"type":"message_stop"}

`
  )
})

t.test('native reasoning is exactly these blocks', async (t) => {
  const events: readonly UpstreamEvent[] = [
    { type: 'reasoning', text: 'Let me ' },
    { type: 'reasoning', text: 'see' },
    { type: 'reasoning', signature: 'c2ln' },
    text('42'),
    { type: 'metadata', stopReason: 'END_TURN' }
  ]
  const out = stream(events, native)
  t.equal(
    out.slice(opening.length, out.indexOf('event: message_delta')),
    `event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Let me "}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"see"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"42"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

`
  )
  t.same(readAnthropicStream(out).delta, deltaOf('end_turn'))
})

t.test('a stop sequence ends the answer', async (t) => {
  const plan = replyPlan({ dialect: 'anthropic-messages', stopSequences: ['END'] })
  const stopped = readAnthropicStream(stream([text('abcE'), text('N'), text('Dxyz')], plan))
  t.equal(stopped.blocks[0]?.text, 'abc')
  t.same(stopped.delta, deltaOf('stop_sequence', 'END'))
  const missed = stream([text('abcE'), text('N'), text('M'), ...closing()], plan)
  t.match(missed, '"text":"ENM"')
  t.same(readAnthropicStream(missed).delta, deltaOf('end_turn'))
})

t.test('an exception after output is exactly this event', async (t) => {
  const translator = createTranslator(plain, anthropicIdentity)
  const before = translator.push({ type: 'text', text: 'a' })
  const out = translator.fail(new GatewayError('GW_UPSTREAM_STATUS', '', { message: 'boom' }))
  t.equal(
    out,
    'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"boom"}}\n\n'
  )
  t.match(readAnthropicStream(toText(before) + toText(out)).error, { message: 'boom' })
  t.equal(translator.heartbeat(), '')
})

t.test('token counts of the upstream are told', async (t) => {
  const events: readonly UpstreamEvent[] = [
    { type: 'metadata', tokenUsage: { uncachedInputTokens: 100, cacheReadInputTokens: 900 } },
    { type: 'metadata', tokenUsage: { outputTokens: 50, totalTokens: 1050 } },
    { type: 'context-usage', percentage: 50 }
  ]
  t.same(readAnthropicStream(stream(events)).usage, {
    input_tokens: 100,
    output_tokens: 50,
    cache_read_input_tokens: 900,
    cache_creation_input_tokens: 0,
    output_tokens_details: null,
    server_tool_use: null
  })
})

t.test('push()', async (t) => {
  t.test('opens a new text block after a call', async (t) => {
    const events = [text('a'), tool('t1', 'f', { stop: true }), text('b'), ...closing()]
    const { blocks } = readAnthropicStream(stream(events))
    t.same(
      blocks.map((block) => [block.type, block.text]),
      [
        ['text', 'a'],
        ['tool_use', '{}'],
        ['text', 'b']
      ]
    )
  })

  t.test('sends an empty answer without blocks', async (t) => {
    const { blocks, delta, message } = readAnthropicStream(stream([]))
    t.same(blocks, [])
    t.same(delta, deltaOf('end_turn'))
    t.match(message['usage'], { input_tokens: 900, output_tokens: 1 })
  })

  t.test('sends a thinking-only answer as just that', async (t) => {
    const events: readonly UpstreamEvent[] = [
      { type: 'reasoning', text: 'hm' },
      { type: 'reasoning', signature: 's' },
      ...closing()
    ]
    const { blocks } = readAnthropicStream(stream(events, native))
    t.match(blocks, [{ type: 'thinking', text: 'hm', signature: 's' }])
  })

  t.test('keeps a signature whose text the upstream left out', async (t) => {
    const events = [{ type: 'reasoning', signature: 's' } as const, text('a'), ...closing()]
    const { blocks } = readAnthropicStream(stream(events, native))
    t.match(blocks, [{ type: 'thinking', text: '', signature: 's' }, { type: 'text' }])
  })

  t.test('begins a new thinking block after a signature', async (t) => {
    const events: readonly UpstreamEvent[] = [
      { type: 'reasoning', text: 'a', signature: '1' },
      { type: 'reasoning', text: 'b', signature: '2' },
      ...closing()
    ]
    const { blocks } = readAnthropicStream(stream(events, native))
    t.match(blocks, [
      { text: 'a', signature: '1' },
      { text: 'b', signature: '2' }
    ])
  })

  t.test('sends hidden reasoning as a block of its own', async (t) => {
    const events: readonly UpstreamEvent[] = [
      { type: 'reasoning', text: 'a' },
      { type: 'reasoning', redacted: 'YQ==' },
      text('b'),
      ...closing()
    ]
    const { blocks } = readAnthropicStream(stream(events, native))
    t.same(
      blocks.map((block) => block.start),
      [
        { type: 'thinking', thinking: '', signature: '' },
        {
          type: 'redacted_thinking',
          data: sealReasoning('claude-haiku-4.5', { redactedContent: 'YQ==' })
        },
        { type: 'text', text: '' }
      ]
    )
  })

  t.test('has a word for every reason', async (t) => {
    const words: Record<EndReason, string> = {
      stop: 'end_turn',
      tool: 'tool_use',
      length: 'max_tokens',
      context: 'model_context_window_exceeded',
      'stop-sequence': 'stop_sequence',
      filter: 'refusal',
      pause: 'pause_turn'
    }
    for (const [reason, word] of Object.entries(words)) {
      const translator = createTranslator(plain, anthropicIdentity)
      const usage = { inputTokens: 1, outputTokens: 1 }
      const out = translator.push({ type: 'end', reason: reason as EndReason, usage })
      t.equal(readAnthropicStream(toText(out)).delta['stop_reason'], word)
    }
  })
})

t.test(
  'heartbeat() is a comment before message_start, a ping after it, nothing at the end',
  async (t) => {
    const translator = createTranslator(plain, anthropicIdentity)
    t.equal(translator.heartbeat(), ': ping\n\n')
    translator.push({ type: 'text', text: 'a' })
    t.equal(translator.heartbeat(), 'event: ping\ndata: {"type":"ping"}\n\n')
    translator.push({ type: 'end', reason: 'stop', usage: { inputTokens: 1, outputTokens: 1 } })
    t.equal(translator.heartbeat(), '')
  }
)

t.test('a call that broke off is told by the reason, also behind a whole one', async (t) => {
  const events = [
    tool('1', 'f', { stop: true }),
    tool('2', 'f', { input: `{"a":"${'x'.repeat(3000)}` })
  ]
  const out = stream(events)
  t.match(out, '"id":"2"')
  t.match(out, '"stop_reason":"max_tokens"')
})

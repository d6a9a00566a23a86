import t from 'tap'
import { PartReader } from '../../src/dialects/answer/part-reader.ts'
import type { DialectName } from '../../src/dialects/dialect.ts'
import { FrameDecoder } from '../../src/frames/frame-decoder.ts'
import { encodeFrame } from '../../src/frames/frame-encoder.ts'
import { parseUpstreamEvent, type UpstreamEvent } from '../../src/kiro/wire/event.ts'
import { AnswerReader } from '../../src/reply/answer-reader.ts'
import { REFERENCE_FRAMES } from '../fixtures/reference-frames.ts'
import { readAnthropicStream } from '../helper/anthropic-grammar.ts'
import * as fc from '../helper/fast-check.ts'
import { readOpenAiStream } from '../helper/openai-grammar.ts'
import { readParts, summarize, translate } from '../helper/read-answer.ts'
import {
  createTranslator,
  type PlanChanges,
  replyPlan,
  responsesIdentity
} from '../helper/reply-plan.ts'
import { readResponsesStream } from '../helper/responses-grammar.ts'
import { closing, sliceBy, text, tool } from '../helper/upstream-events.ts'
import { endFrame, eventFrame, textFrame } from '../helper/upstream-frames.ts'

// What is made of the upstream's stream.

t.test(
  'frames: the references byte by byte, a wrong CRC between good ones, a cut emoji',
  async (t) => {
    const stream = Buffer.concat(REFERENCE_FRAMES.map(({ hex }) => Buffer.from(hex, 'hex')))
    const decoder = new FrameDecoder()
    const frames = [...stream].flatMap((byte) => [...decoder.feed(Buffer.of(byte))])
    decoder.end()
    t.equal(frames.length, REFERENCE_FRAMES.length)

    const bad = Buffer.from(textFrame('lost'))
    bad[bad.length - 1] = (bad.at(-1) ?? 0) ^ 1
    const reader = new AnswerReader(new PartReader(replyPlan()))
    const texts: string[] = []
    t.throws(
      () =>
        reader.feed(Buffer.concat([textFrame('kept'), bad, textFrame('never')]), (part) => {
          if (part.type === 'text') texts.push(part.text)
        }),
      { code: 'GW_FRAME_CORRUPT' }
    )
    t.same(texts, ['kept'])

    const emoji = textFrame('🎉')
    for (let at = 1; at < emoji.length; at++) {
      const cut = new FrameDecoder()
      const read = [emoji.subarray(0, at), emoji.subarray(at)].flatMap((part) => [
        ...cut.feed(part)
      ])
      t.same(read.map(parseUpstreamEvent), [{ type: 'text', text: '🎉' }])
    }
  }
)

t.test('unknown events, headers and members never throw', async (t) => {
  const reader = new AnswerReader(new PartReader(replyPlan()))
  const odd = [
    eventFrame('ofTheFutureEvent', { a: 1 }),
    eventFrame('assistantResponseEvent', { content: 'yes', extra: { deep: [1] } }),
    eventFrame('toolUseEvent', { a: 'b' }),
    eventFrame('meteringEvent', { unit: 'of the future' }),
    encodeFrame({ ':message-type': 'of-the-future', 'x-odd': 'é' }, 'no JSON'),
    encodeFrame({}, ''),
    endFrame
  ]
  const texts: string[] = []
  const fault = reader.feed(Buffer.concat(odd), (part) => {
    if (part.type === 'text') texts.push(part.text)
  })
  t.equal(fault, null)
  t.same(texts, ['yes'])
  t.ok(reader.strangeEvents.count > 0)
})

t.test('repeated deltas survive', async (t) => {
  t.equal(say([text('Hel'), text('lo'), text('lo'), text('lo')]).text, 'Hellololo')
})

t.test('ghosts of calls and what follows a stop are ignored; a missing stop is none', async (t) => {
  const call = [tool('t1', 'f'), tool('t1', 'f', { input: '{"a":1}' })]
  const expected = [{ id: 't1', name: 'f', json: '{"a":1}' }]
  const stop = tool('t1', 'f', { stop: true })
  t.same(say([...call, stop, tool('t1', 'f'), stop]).calls, expected)
  t.same(say([...call, stop, tool('t1', 'f', { input: '{}' }), stop]).calls, expected)
  t.same(say(call).calls, expected)
  t.equal(say(call).reason, 'tool')
})

t.test(
  'tool JSON with nested escapes and multi-byte characters is intact, however it is cut',
  async (t) => {
    const json = JSON.stringify({
      cmd: 'echo "a\\"b\\\\c" | sed \'s/\n/\t/\'',
      漢字: '🎉é',
      n: 1234567890123
    })
    for (let size = 1; size <= json.length; size++) {
      const pieces = sliceBy(json, size).map((input) => tool('t1', 'f', { input }))
      const { calls } = say([tool('t1', 'f'), ...pieces, tool('t1', 'f', { stop: true })])
      t.equal(calls[0]?.json, json)
    }
  }
)

t.test('usage is of the window of the model that answers, and never negative', async (t) => {
  const half = { type: 'context-usage', percentage: 50 } as const
  t.match(usageOf([text('x'), half]), { inputTokens: 99_995, outputTokens: 5 })
  t.match(usageOf([text('x'), half], { contextWindow: 1_000_000 }), { inputTokens: 499_995 })
  t.match(usageOf([{ type: 'text', text: 'x', modelId: 'claude-opus-5' }, half]), {
    inputTokens: 499_995
  })
  for (const percentage of [0, -3, Number.NaN, 0.000_001]) {
    const usage = usageOf([text('x'), { type: 'context-usage', percentage }])
    t.match(usage, { inputTokens: 900, outputTokens: 5 }, `${percentage} %: the estimate`)
  }
})

t.test('stop strings over the borders of chunks, overlapping ones and empty ones', async (t) => {
  const whole = 'abcENDING and more'
  for (let size = 1; size <= whole.length; size++) {
    const plan = { stopSequences: ['ENDING', 'END'] }
    const end = readParts(replyPlan(plan), [...sliceBy(whole, size).map(text), ...closing()])
    const { text: said, reason } = summarize(end)
    t.equal(reason, 'stop-sequence')
    t.equal(said, 'abc', `pieces of ${size}`)
  }
  t.equal(say(sliceBy('aENaENb', 1).map(text), { stopSequences: ['ENb'] }).text, 'aENa')
  t.equal(say(sliceBy('abENc', 2).map(text), { stopSequences: ['END'] }).text, 'abENc')
})

const GRAMMARS = [
  [
    'Messages: blocks one after another, indexes in order, one message_delta',
    'anthropic-messages',
    readAnthropicStream
  ],
  [
    'Chat Completions: the role once, [DONE] last, stable indexes of calls',
    'openai-chat',
    readOpenAiStream
  ],
  [
    'Responses: numbers without gaps, a done for every added, one last event',
    'openai-responses',
    readResponsesStream
  ]
] as const satisfies readonly (readonly [string, DialectName, (text: string) => unknown])[]

const anyEvents = fc.array(
  fc.oneof(
    fc.constantFrom('a', ' ', 'b"\\', '漢', '<thinking>', '').map(text),
    fc.constantFrom<UpstreamEvent>(
      { type: 'reasoning', text: 'hm' },
      { type: 'reasoning', signature: 'c2ln' },
      { type: 'reasoning', redacted: 'b3A' },
      { type: 'context-usage', percentage: 3 },
      { type: 'metadata', stopReason: 'MAX_TOKENS' }
    ),
    fc
      .tuple(fc.constantFrom('t1', 't2'), fc.constantFrom('', '{"a":', '1}', '{}'), fc.boolean())
      .map(([id, input, stop]) => tool(id, `f_${id}`, { input, stop }))
  ),
  { maxLength: 14 }
)

for (const [title, dialect, readStream] of GRAMMARS) {
  t.test(title, async () => {
    fc.assert(
      fc.property(anyEvents, fc.constantFrom('none', 'native', 'tags'), (events, reasoning) => {
        const plan = replyPlan({ dialect, reasoning })
        readStream(translate(createTranslator(plan, responsesIdentity), readParts(plan, events)))
      }),
      { numRuns: 2000 }
    )
  })
}

function say(events: readonly UpstreamEvent[], changes: Partial<PlanChanges> = {}) {
  return summarize(readParts(replyPlan(changes), events))
}

function usageOf(events: readonly UpstreamEvent[], changes: Partial<PlanChanges> = {}) {
  const end = readParts(replyPlan(changes), events, {
    weigh: () => 5,
    contextWindowOf: (model) => (model === 'claude-opus-5' ? 1_000_000 : undefined)
  }).at(-1)
  return end?.type === 'end' ? end.usage : null
}

import t from 'tap'
import { PartReader } from '../../../src/dialects/answer/part-reader.ts'
import type { StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import type { DialectName } from '../../../src/dialects/dialect.ts'
import { AnswerReader } from '../../../src/reply/answer-reader.ts'
import { collect, summarize, translate } from '../../helper/read-answer.ts'
import {
  anthropicIdentity,
  createCollector,
  createTranslator,
  openAiIdentity,
  replyPlan,
  responsesIdentity
} from '../../helper/reply-plan.ts'
import { endFrame, eventFrame, exceptionFrame, textFrame } from '../../helper/upstream-frames.ts'

// kiro-protocol §5.11: what closes an answer, and what becomes of one that is not closed.

const opening = eventFrame('initial-response', {})
const counted = eventFrame('metadataEvent', { tokenUsage: { uncachedInputTokens: 7 } })
const metering = eventFrame('meteringEvent', { unit: 'credit', usage: 0.01 })
const call = (rest: object, toolUseId = 't1') =>
  eventFrame('toolUseEvent', { name: 'f', toolUseId, ...rest })
const wholeCall = [call({ input: '{}' }), call({ stop: true })]
const said = textFrame('Step 1 is done. Now')
const lost = { reason: 'MODEL_TEMPORARILY_UNAVAILABLE', message: 'The model is unavailable.' }

function partsOf(frames: readonly Buffer[], needsClosing = true): readonly StreamPart[] {
  const parts: StreamPart[] = []
  const plan = replyPlan({ upstreamModel: 'claude-opus-5' })
  const reader = new AnswerReader(new PartReader(plan, { needsClosing }))
  const onPart = (part: StreamPart) => void parts.push(part)
  reader.feed(Buffer.concat(frames), onPart)
  reader.end(onPart)
  return parts
}

const endOf = (frames: readonly Buffer[], needsClosing = true) => {
  const { calls, reason } = summarize(partsOf(frames, needsClosing))
  return [reason, calls.length]
}

t.test('an answer that is not closed was cut', async (t) => {
  t.same(endOf([opening, said]), ['length', 0])
  t.same(endOf([said, ...wholeCall]), ['length', 1], 'another call may be missing')
  t.same(endOf([said, ...wholeCall, call({ input: '{"a":1}' }, 't2')]), ['length', 1])
  t.same(endOf([said, metering, textFrame(' more')]), ['length', 0], 'metering behind the content')
  t.same(endOf([counted, said]), ['length', 0], 'metadata that only counts, before the content')
  t.same(endOf([counted, ...wholeCall]), ['length', 1])
  t.throws(() => partsOf([opening]), { code: 'GW_UPSTREAM_OVERLOADED' })
})

t.test('one that is closed is whole', async (t) => {
  for (const closing of [endFrame, metering]) {
    t.same(endOf([said, closing]), ['stop', 0])
    t.same(endOf([said, ...wholeCall, closing]), ['tool', 1])
    t.same(endOf([said, call({ input: '{"a":1}' }), closing]), ['tool', 1])
    t.same(endOf([counted, said, closing]), ['stop', 0])
  }
  t.same(endOf([said, counted]), ['stop', 0])
  t.same(endOf([endFrame, said]), ['stop', 0], 'its reason was told early')
  t.same(endOf([said], false), ['stop', 0], 'a host that closes none')
  t.same(endOf([said, ...wholeCall], false), ['tool', 1])
  t.same(endOf([opening], false), ['stop', 0])
})

const closed = (stopReason: string) => eventFrame('metadataEvent', { stopReason })

t.test('one without words is none, unless its reason is final', async (t) => {
  const named = eventFrame('assistantResponseEvent', { content: '', modelId: 'claude-opus-5' })
  for (const frames of [[endFrame], [metering], [named, endFrame], [closed('PAUSE_TURN')]]) {
    for (const needsClosing of [true, false]) {
      t.throws(() => partsOf([opening, ...frames], needsClosing), {
        code: 'GW_UPSTREAM_OVERLOADED'
      })
    }
  }
  t.same(endOf([closed('MAX_TOKENS')]), ['length', 0])
  t.same(endOf([closed('CONTENT_FILTERED')]), ['filter', 0])
  t.same(endOf([closed('MODEL_CONTEXT_WINDOW_EXCEEDED')]), ['context', 0])
})

/** The parts of an answer whose rest was lost behind these frames. */
function lostAfter(frames: readonly Buffer[]): readonly StreamPart[] {
  const parts: StreamPart[] = []
  const reader = new AnswerReader(new PartReader(replyPlan(), { needsClosing: false }))
  const onPart = (part: StreamPart) => void parts.push(part)
  reader.feed(Buffer.concat(frames), onPart)
  reader.lose(onPart)
  return parts
}

t.test('one whose rest was lost was cut, from any host', async (t) => {
  const leftOver = textFrame('never').subarray(0, 7)
  t.match(summarize(lostAfter([said, leftOver])), { text: 'Step 1 is done. Now', reason: 'length' })
  t.match(summarize(lostAfter([said, ...wholeCall, leftOver])), { calls: [{ id: 't1' }] })
  const open = call({ input: '{"path":"a' }, 't2')
  const { calls, reason } = summarize(lostAfter([said, ...wholeCall, open, leftOver]))
  t.same([calls.length, reason], [1, 'length'], 'an open call is left out')
  t.equal(summarize(lostAfter([said, endFrame, leftOver])).reason, 'stop', 'it was closed')
})

t.test('a model that loses its capacity ends its answer', async (t) => {
  const begun = [said, ...wholeCall, call({}, 't2'), call({ input: '{"path":"a' }, 't2')]
  const kinds = [
    eventFrame('someFutureEvent', lost),
    exceptionFrame('ServiceUnavailableException', 'gone'),
    exceptionFrame('InternalServerException', 'boom')
  ]
  t.same(endOf([...begun, kinds[0] ?? said, textFrame('never')]), ['length', 1])
  for (const failure of kinds.slice(1)) {
    const reader = new AnswerReader(new PartReader(replyPlan()))
    t.match(
      reader.feed(Buffer.concat([...begun, failure]), () => {}),
      { status: /50[03]/ }
    )
  }
  const reader = new AnswerReader(new PartReader(replyPlan()))
  t.match(
    reader.feed(eventFrame('someFutureEvent', lost), () => {}),
    {
      code: 'GW_UPSTREAM_OVERLOADED',
      remedy: 'back-off'
    }
  )
})

const dialects: readonly [DialectName, typeof openAiIdentity, object, RegExp][] = [
  [
    'openai-chat',
    openAiIdentity,
    { choices: [{ finish_reason: 'length' }] },
    /"finish_reason":"length"[^]*\[DONE\]/
  ],
  [
    'anthropic-messages',
    anthropicIdentity,
    { stop_reason: 'max_tokens' },
    /"stop_reason":"max_tokens"[^]*message_stop/
  ],
  [
    'openai-responses',
    responsesIdentity,
    { status: 'incomplete', incomplete_details: { reason: 'max_output_tokens' } },
    /response\.incomplete/
  ]
]

for (const [dialect, identity, whole, stream] of dialects) {
  t.test(`${dialect} has a word for it, streamed and not`, async (t) => {
    for (const parts of [
      partsOf([said]),
      partsOf([said, eventFrame('someFutureEvent', lost)]),
      lostAfter([said, textFrame('never').subarray(0, 7)])
    ]) {
      const plan = replyPlan({ dialect })
      t.match(collect(createCollector(plan, identity), parts), whole)
      const text = translate(createTranslator(plan, identity), parts)
      t.match(text, stream)
      t.notMatch(text, /event: error|response\.failed|"error":\{/)
    }
  })
}

t.test('a signature in pieces is whole for its client', async (t) => {
  const pieces = ['c2ln', 'bmF0', 'dXJl'].map((signature) =>
    eventFrame('reasoningContentEvent', { signature })
  )
  const thought = eventFrame('reasoningContentEvent', { text: 'Let me see' })
  const parts: StreamPart[] = []
  const plan = replyPlan({ dialect: 'anthropic-messages', reasoning: 'native' })
  const reader = new AnswerReader(new PartReader(plan))
  reader.feed(Buffer.concat([thought, ...pieces, said, endFrame]), (part) => void parts.push(part))
  t.same(
    parts.filter(({ type }) => type === 'signature'),
    [{ type: 'signature', signature: 'c2lnbmF0dXJl' }]
  )
})

t.test('three dots are never shown', async (t) => {
  const signature = 'c2lnbmF0dXJl'.repeat(8)
  const frames = [
    ...wholeCall,
    eventFrame('reasoningContentEvent', { text: '...', signature }),
    endFrame
  ]
  for (const reasoning of ['native', 'none'] as const) {
    for (const dialect of ['openai-chat', 'anthropic-messages', 'openai-responses'] as const) {
      const plan = replyPlan({ dialect, reasoning, upstreamModel: 'gpt-5.6-sol' })
      const parts: StreamPart[] = []
      const reader = new AnswerReader(new PartReader(plan))
      reader.feed(Buffer.concat(frames), (part) => void parts.push(part))
      reader.end((part) => void parts.push(part))
      const identity = dialect === 'openai-responses' ? responsesIdentity : openAiIdentity
      const text = JSON.stringify(collect(createCollector(plan, identity), parts))
      t.notMatch(text, /"\.\.\."/)
      const isKept =
        dialect === 'openai-responses' ||
        (dialect === 'anthropic-messages' && reasoning === 'native')
      t.equal(text.includes('"kgr1.'), isKept, `${dialect}, ${reasoning}`)
    }
  }
})

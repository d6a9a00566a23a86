import { deepEqual, doesNotMatch, equal, notEqual } from 'node:assert/strict'
import t from 'tap'
import { toText } from '../../src/dialects/answer/answer-writer.ts'
import type { StreamPart } from '../../src/dialects/answer/stream-part.ts'
import { Dialects } from '../../src/dialects/dialect.ts'
import type { UpstreamEvent } from '../../src/kiro/wire/event.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import { readAnthropicStream } from '../helper/anthropic-grammar.ts'
import {
  type Arbitrary,
  array,
  assert,
  constantFrom,
  integer,
  jsonValue,
  nat,
  oneof,
  property,
  record,
  string,
  codePoint
} from '../helper/fast-check.ts'
import { readOpenAiStream } from '../helper/openai-grammar.ts'
import { readParts, summarize } from '../helper/read-answer.ts'
import {
  anthropicIdentity,
  createCollector,
  createTranslator,
  openAiIdentity,
  replyPlan
} from '../helper/reply-plan.ts'
import { closing, cutAt, text, tool } from '../helper/upstream-events.ts'

const openAi = replyPlan({ reasoning: 'native' })
const anthropic = replyPlan({ dialect: 'anthropic-messages', reasoning: 'native' })
const words = string({ unit: codePoint, maxLength: 12 })

/** One thing that a model does, as the events it takes, cut anywhere. */
const step: Arbitrary<readonly UpstreamEvent[]> = oneof(
  record({ said: words, cuts: array(nat(), { maxLength: 3 }) }).map(({ said, cuts }) =>
    cutAt(said, cuts).map(text)
  ),
  words.map((thought): readonly UpstreamEvent[] => [{ type: 'reasoning', text: thought }]),
  words.map((signature): readonly UpstreamEvent[] => [{ type: 'reasoning', signature }]),
  words.map((redacted): readonly UpstreamEvent[] => [{ type: 'reasoning', redacted }]),
  record({
    id: integer({ min: 0, max: 4 }),
    value: jsonValue(),
    cuts: array(nat(), { maxLength: 3 })
  }).map(({ id, value, cuts }) => [
    ...cutAt(JSON.stringify({ value }), cuts).map((input) => tool(`t${id}`, 'f', { input })),
    tool(`t${id}`, 'f', { stop: true })
  ]),
  constantFrom<readonly UpstreamEvent[]>(
    [tool('t9', 'g', { input: '{"cut' })],
    [{ type: 'ignored', eventType: 'intentsEvent' }],
    closing('MAX_TOKENS')
  )
)
const answers = array(step, { maxLength: 10 }).map((steps) => [...steps.flat(), ...closing()])
const beats = array(nat(40), { maxLength: 4 })

/** The stream with a heartbeat before each part whose number is in `at`. */
function write(plan: typeof openAi, parts: readonly StreamPart[], at: readonly number[]): string {
  const translator = createTranslator(plan, plan === openAi ? openAiIdentity : anthropicIdentity)
  return parts
    .map(
      (part, index) => (at.includes(index) ? translator.heartbeat() : '') + translator.push(part)
    )
    .join('')
}

t.test(
  'any answer with heartbeats anywhere is a valid chat stream with the same content',
  async () => {
    assert(
      property(answers, beats, (events, at) => {
        const parts = readParts(openAi, events)
        const said = summarize(parts)
        const stream = readOpenAiStream(write(openAi, parts, at))
        equal(stream.text, said.text)
        equal(stream.reasoning, said.reasoning)
        deepEqual(stream.calls, said.calls)
        notEqual(stream.finishReason, null)
      })
    )
  }
)

t.test(
  'any answer with heartbeats anywhere is a valid message stream with the same content',
  async () => {
    assert(
      property(answers, beats, (events, at) => {
        const parts = readParts(anthropic, events)
        const said = summarize(parts)
        const { blocks, error } = readAnthropicStream(write(anthropic, parts, at))
        const textOf = (type: string): string =>
          blocks.map((block) => (block.type === type ? block.text : '')).join('')
        equal(textOf('text'), said.text)
        equal(textOf('thinking'), said.reasoning)
        deepEqual(
          blocks.flatMap(({ type, start, text: json }) =>
            type === 'tool_use' ? [{ id: start['id'], name: start['name'], json }] : []
          ),
          said.calls
        )
        equal(error, null)
      })
    )
  }
)

t.test('an answer that breaks anywhere ends with its error and nothing else', async () => {
  const error = new GatewayError('GW_UPSTREAM_RESET')
  assert(
    property(answers, nat(), (events, place) => {
      for (const plan of [openAi, anthropic]) {
        const parts = readParts(plan, events)
        const translator = createTranslator(plan, openAiIdentity)
        const before = parts.slice(0, place % parts.length).map((part) => translator.push(part))
        const out = before.join('') + translator.fail(error)
        const stream = plan === openAi ? readOpenAiStream(out) : readAnthropicStream(out)
        equal(stream.error?.['message'], error.message)
        doesNotMatch(out, /\[DONE\]|message_stop/)
        equal(translator.heartbeat(), '')
      }
    })
  )
})

t.test('a collected answer has the content of the streamed one', async () => {
  assert(
    property(answers, (events) => {
      const parts = readParts(anthropic, events)
      const { blocks, delta } = readAnthropicStream(write(anthropic, parts, []))
      const collector = createCollector(anthropic, anthropicIdentity)
      for (const part of parts) collector.push(part)
      const message = JSON.parse(toText(collector.toJson()))
      equal(message.stop_reason, delta['stop_reason'])
      deepEqual(
        message.content.map((block: { type: string }) => block.type),
        blocks.map((block) => block.type)
      )
      deepEqual(
        message.content.map((block: Record<string, unknown>) => block['text'] ?? block['thinking']),
        blocks.map(({ type, text: said }) =>
          ['text', 'thinking'].includes(type) ? said : undefined
        )
      )
    })
  )
})

t.test('toAnswerId() shapes ids as each API does', async (t) => {
  const hex = '0123456789abcdef0123456789abcdef'
  t.equal(Dialects['openai-chat'].toAnswerId(hex), `chatcmpl-${hex}`)
  t.equal(Dialects['anthropic-messages'].toAnswerId(hex), 'msg_0123456789abcdef01234567')
})

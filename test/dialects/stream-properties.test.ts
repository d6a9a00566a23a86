import { deepEqual } from 'node:assert/strict'
import Anthropic from '@anthropic-ai/sdk'
import OpenAI from 'openai'
import t from 'tap'
import { toText } from '../../src/dialects/answer/output-text.ts'
import { PartReader } from '../../src/dialects/answer/part-reader.ts'
import { SseHeaders } from '../../src/dialects/answer/answer-writer.ts'
import type { StreamPart } from '../../src/dialects/answer/stream-part.ts'
import type { ReplyPlan } from '../../src/dialects/plan/plan.ts'
import { AnswerReader } from '../../src/reply/answer-reader.ts'
import { readAnthropicStream } from '../helper/anthropic-grammar.ts'
import {
  type Arbitrary,
  array,
  assert,
  asyncProperty,
  constantFrom,
  integer,
  nat,
  oneof,
  record,
  string,
  tuple
} from '../helper/fast-check.ts'
import { readOpenAiStream } from '../helper/openai-grammar.ts'
import {
  anthropicIdentity,
  createTranslator,
  openAiIdentity,
  replyPlan
} from '../helper/reply-plan.ts'
import { cutAt, placesIn } from '../helper/upstream-events.ts'
import { endFrame, eventFrame } from '../helper/upstream-frames.ts'

t.setTimeout(300_000) // tens of thousands of answers, on a machine that may be busy

/** `npm run fuzz` draws others. */
const ANSWERS = 15

const words = string({ unit: 'grapheme', minLength: 1, maxLength: 12 })

/** One thing that a model does, as the frames it takes, cut anywhere. */
const step: Arbitrary<readonly Buffer[]> = oneof(
  words.map((content) => [eventFrame('assistantResponseEvent', { content })]),
  words.map((text) => [eventFrame('reasoningContentEvent', { text })]),
  words.map((signature) => [eventFrame('reasoningContentEvent', { signature })]),
  record({
    id: integer({ min: 0, max: 99 }),
    input: words,
    size: constantFrom(1, 1, 1, 1, 1, 1, 1, 1, 1, 300),
    isCut: constantFrom(false, false, true),
    cuts: array(nat(), { maxLength: 3 })
  }).map(({ id, input, size, isCut, cuts }) => {
    const json = JSON.stringify({ input: input.repeat(size) })
    const call = { toolUseId: `tooluse_${id}`, name: 'f' }
    const pieces = cutAt(isCut ? json.slice(0, -2) : json, cuts)
    return [
      ...pieces.map((piece) => eventFrame('toolUseEvent', { ...call, input: piece })),
      eventFrame('toolUseEvent', { ...call, stop: true })
    ]
  }),
  constantFrom([eventFrame('intentsEvent', {})])
)
/** Somewhere there are words: an answer of nothing is none. */
const bodies = tuple(array(step, { maxLength: 3 }), words, array(step, { maxLength: 3 })).map(
  ([before, content, after]) => {
    const said = eventFrame('assistantResponseEvent', { content })
    return Buffer.concat([...before.flat(), said, ...after.flat(), endFrame])
  }
)

interface Said {
  text: string
  reasoning: string
  calls: { id: string; json: string }[]
}

/** What a client is sent for chunks of the upstream, and what the model said. */
function answer(plan: ReplyPlan, chunks: readonly Uint8Array[]) {
  const identity = plan.asked.dialect === 'openai-chat' ? openAiIdentity : anthropicIdentity
  const translator = createTranslator(plan, identity)
  const said: Said = { text: '', reasoning: '', calls: [] }
  let text = ''
  const onPart = (part: StreamPart): void => {
    note(part, said)
    text += toText(translator.push(part))
  }
  const reader = new AnswerReader(new PartReader(plan))
  for (const chunk of chunks) reader.feed(chunk, onPart)
  reader.end(onPart)
  return { text, said }
}

function note(part: StreamPart, said: Said): void {
  if (part.type === 'text') said.text += part.text
  if (part.type === 'reasoning') said.reasoning += part.text
  if (part.type === 'tool-start') said.calls.push({ id: part.id, json: '' })
  if (part.type === 'tool-delta') said.calls.at(-1)!.json += part.json
  if (part.type === 'tool-end' && part.isCut === true) said.calls.pop()
}

/** A network that answers with a stream in slices of so many bytes. */
function fetchOf(stream: string, sliceBytes: number) {
  const bytes = new TextEncoder().encode(stream)
  let at = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.byteLength) controller.close()
      else controller.enqueue(bytes.slice(at, (at += sliceBytes)))
    }
  })
  return async (): Promise<Response> => new Response(body, { headers: { ...SseHeaders } })
}

const local = { apiKey: 'k', maxRetries: 0 }
const question = { role: 'user', content: 'x' } as const

async function readByOpenAi(stream: string, sliceBytes: number): Promise<Said> {
  const fetch = fetchOf(stream, sliceBytes)
  const client = new OpenAI({ ...local, baseURL: 'http://127.0.0.1/v1', fetch })
  const said: Said = { text: '', reasoning: '', calls: [] }
  const chunks = await client.chat.completions.create({
    model: 'm',
    messages: [question],
    stream: true
  })
  for await (const { choices } of chunks) {
    const delta = choices[0]?.delta
    said.text += delta?.content ?? ''
    const reasoning = delta === undefined ? undefined : Reflect.get(delta, 'reasoning_content')
    if (typeof reasoning === 'string') said.reasoning += reasoning
    for (const { index, id, function: piece } of delta?.tool_calls ?? []) {
      const call = (said.calls[index] ??= { id: id ?? '', json: '' })
      call.json += piece?.arguments ?? ''
    }
  }
  return said
}

async function readByAnthropic(stream: string, sliceBytes: number): Promise<Said> {
  const fetch = fetchOf(stream, sliceBytes)
  const client = new Anthropic({ ...local, baseURL: 'http://127.0.0.1', fetch })
  const run = client.messages.stream({ model: 'm', max_tokens: 9, messages: [question] })
  const said: Said = { text: '', reasoning: '', calls: [] }
  for (const block of (await run.finalMessage()).content) {
    if (block.type === 'text') said.text += block.text
    if (block.type === 'thinking') said.reasoning += block.thinking
    if (block.type === 'tool_use') {
      said.calls.push({ id: block.id, json: JSON.stringify(block.input) })
    }
  }
  return said
}

const dialects = [
  {
    plan: replyPlan({ reasoning: 'native' }),
    readGrammar: readOpenAiStream,
    readBySdk: readByOpenAi
  },
  {
    plan: replyPlan({ dialect: 'anthropic-messages', reasoning: 'native' }),
    readGrammar: readAnthropicStream,
    readBySdk: readByAnthropic
  }
] as const

for (const { plan, readGrammar, readBySdk } of dialects) {
  t.test(`${plan.asked.dialect}: any answer, cut anywhere, is the same valid stream`, async () => {
    await assert(
      asyncProperty(bodies, integer({ min: 1, max: 300 }), async (body, sliceBytes) => {
        const { text, said } = answer(plan, [body])
        readGrammar(text) // throws for what is no stream of the dialect
        const read = await readBySdk(text, sliceBytes)
        const whole = new Set(said.calls.map(({ id }) => id))
        deepEqual({ ...read, calls: read.calls.filter(({ id }) => whole.has(id)) }, said)
        for (const at of placesIn(body)) {
          if (answer(plan, [body.subarray(0, at), body.subarray(at)]).text !== text) {
            throw new Error(`cut at ${at} it is another stream`)
          }
        }
      }),
      { numRuns: ANSWERS }
    )
  })
}

import { deepEqual, equal } from 'node:assert/strict'
import OpenAI from 'openai'
import type { ResponseStreamEvent } from 'openai/resources/responses/responses'
import t from 'tap'
import { toText } from '../../../src/dialects/answer/output-text.ts'
import { PartReader } from '../../../src/dialects/answer/part-reader.ts'
import { SseHeaders } from '../../../src/dialects/answer/answer-writer.ts'
import type { StreamPart } from '../../../src/dialects/answer/stream-part.ts'
import { AnswerReader } from '../../../src/reply/answer-reader.ts'
import { GatewayError } from '../../../src/shared/errors.ts'
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
} from '../../helper/fast-check.ts'
import {
  createCollector,
  createTranslator,
  replyPlan,
  responsesIdentity
} from '../../helper/reply-plan.ts'
import { readResponsesStream, textOf } from '../../helper/responses-grammar.ts'
import { stringOf } from '../../helper/sse-messages.ts'
import { cutAt, placesIn } from '../../helper/upstream-events.ts'
import { endFrame, eventFrame } from '../../helper/upstream-frames.ts'

/** `npm run fuzz` draws others. */
const ANSWERS = 15

const plan = replyPlan({
  dialect: 'openai-responses',
  reasoning: 'native',
  toolForms: {
    patch: { kind: 'text', name: 'patch' },
    n__f: { kind: 'function', name: 'f', namespace: 'n' },
    search: { kind: 'search', name: 'search' }
  }
})
const words = string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
const toolNames = ['patch', 'n__f', 'search', 'g'] as const

/** One thing that a model does, as the frames it takes, cut anywhere. */
const step: Arbitrary<readonly Buffer[]> = oneof(
  words.map((content) => [eventFrame('assistantResponseEvent', { content })]),
  words.map((text) => [eventFrame('reasoningContentEvent', { text })]),
  words.map((signature) => [eventFrame('reasoningContentEvent', { signature })]),
  words.map((redactedContent) => [eventFrame('reasoningContentEvent', { redactedContent })]),
  record({
    id: integer({ min: 0, max: 99 }),
    name: constantFrom(...toolNames),
    input: words,
    size: constantFrom(1, 1, 1, 1, 1, 1, 1, 1, 1, 300),
    isCut: constantFrom(false, false, true),
    cuts: array(nat(), { maxLength: 3 })
  }).map(({ id, name, input, size, isCut, cuts }) => {
    const json = JSON.stringify({ input: input.repeat(size) })
    const toolUseId = `tooluse_${id}`
    const pieces = cutAt(isCut ? json.slice(0, -2) : json, cuts)
    return [
      ...pieces.map((piece) => eventFrame('toolUseEvent', { toolUseId, name, input: piece })),
      eventFrame('toolUseEvent', { toolUseId, name, stop: true })
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

/** What a client is sent for chunks of the upstream; without `isWhole` the body breaks off after them. */
function answer(chunks: readonly Uint8Array[], isWhole = true) {
  const translator = createTranslator(plan, responsesIdentity)
  const parts: StreamPart[] = []
  let text = ''
  const onPart = (part: StreamPart): void => {
    parts.push(part)
    text += toText(translator.push(part))
  }
  const reader = new AnswerReader(new PartReader(plan))
  for (const chunk of chunks) reader.feed(chunk, onPart)
  if (isWhole) reader.end(onPart)
  else text += toText(translator.fail(new GatewayError('GW_UPSTREAM_RESET')))
  return { text, parts }
}

/** What the model said, from the parts alone. */
function saidIn(parts: readonly StreamPart[]) {
  const said = {
    text: '',
    reasoning: '',
    calls: [] as { id: string; name: string; json: string }[]
  }
  for (const part of parts) {
    if (part.type === 'text') said.text += part.text
    if (part.type === 'reasoning') said.reasoning += part.text
    if (part.type === 'tool-start') said.calls.push({ id: part.id, name: part.name, json: '' })
    if (part.type === 'tool-delta') said.calls.at(-1)!.json += part.json
    if (part.type === 'tool-end' && part.isCut === true) said.calls.pop()
  }
  return said
}

type Item = Record<string, unknown>

/** The same from the items of a response. */
function saidBy(output: readonly Item[]) {
  const textIn = (type: string): string =>
    output.map((item) => (item['type'] === type ? textOf(item) : '')).join('')
  const calls = output
    .filter((item) => 'call_id' in item && item['status'] === 'completed')
    .map((item) => ({ id: item['call_id'], ...nameAndInput(item) }))
  return { text: textIn('message'), reasoning: textIn('reasoning'), calls }
}

function nameAndInput(item: Item): { name: unknown; json: unknown } {
  if (item['type'] === 'custom_tool_call') {
    return { name: item['name'], json: JSON.stringify({ input: item['input'] }) }
  }
  if (item['type'] === 'tool_search_call')
    return { name: 'search', json: JSON.stringify(item['arguments']) }
  const name = stringOf(item['name'])
  const namespace = stringOf(item['namespace'])
  return { name: namespace === '' ? name : `${namespace}__${name}`, json: item['arguments'] }
}

/** What the official SDK makes of a stream that it gets in slices of so many bytes. */
async function readBySdk(stream: string, sliceBytes: number) {
  const bytes = new TextEncoder().encode(stream)
  let at = 0
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.byteLength) controller.close()
      else controller.enqueue(bytes.slice(at, (at += sliceBytes)))
    }
  })
  const fetch = async (): Promise<Response> => new Response(body, { headers: { ...SseHeaders } })
  const client = new OpenAI({ apiKey: 'k', baseURL: 'http://127.0.0.1/v1', maxRetries: 0, fetch })
  const events: ResponseStreamEvent[] = []
  const run = client.responses.stream({ model: 'm', input: 'x' })
  run.on('event', (event) => events.push(event))
  return { response: await run.finalResponse(), events }
}

t.test('any answer, cut anywhere, is the same valid stream', async () => {
  await assert(
    asyncProperty(bodies, integer({ min: 1, max: 300 }), async (body, sliceBytes) => {
      const { text, parts } = answer([body])
      const { output, types } = readResponsesStream(text)
      const said = saidIn(parts)
      deepEqual(saidBy(output), said)
      const sdk = await readBySdk(text, sliceBytes)
      deepEqual(saidBy(sdk.response.output as unknown as Item[]), said, 'for the SDK, too')
      equal(sdk.response.output_text, said.text)
      equal(sdk.events.length, types.length)
      const collector = createCollector(plan, responsesIdentity)
      for (const part of parts) collector.push(part)
      const collected = JSON.parse(toText(collector.toJson()))
      deepEqual(collected.output, output, 'and in one piece')
      for (const at of placesIn(body)) {
        if (answer([body.subarray(0, at), body.subarray(at)]).text !== text) {
          throw new Error(`cut at ${at} it is another stream`)
        }
      }
    }),
    { numRuns: ANSWERS }
  )
})

t.test('any answer that breaks off anywhere is a valid stream that failed', async () => {
  await assert(
    asyncProperty(bodies, integer({ min: 1, max: 300 }), async (body, sliceBytes) => {
      let last = ''
      for (const at of placesIn(body)) {
        const { text, parts } = answer([body.subarray(0, at)], false)
        if (text === last) continue
        last = text
        const { response, output } = readResponsesStream(text)
        if (response['status'] !== 'failed') throw new Error('it does not look broken')
        const said = saidIn(parts)
        const told = saidBy(output)
        if (told.text !== said.text || told.reasoning !== said.reasoning)
          throw new Error('words are lost')
      }
      const { response } = await readBySdk(last, sliceBytes)
      equal(response.status, 'failed')
      equal(response.error?.code, 'server_error')
    }),
    { numRuns: ANSWERS }
  )
})

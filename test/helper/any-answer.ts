import { type AnswerWriter, toText } from '../../src/dialects/answer/answer-writer.ts'
import { PartReader } from '../../src/dialects/answer/part-reader.ts'
import { SseHeaders } from '../../src/dialects/answer/answer-writer.ts'
import type { StreamPart } from '../../src/dialects/answer/stream-part.ts'
import type { ReplyPlan } from '../../src/dialects/plan/plan.ts'
import { AnswerReader } from '../../src/reply/answer-reader.ts'
import { GatewayError } from '../../src/shared/errors.ts'
import {
  type Arbitrary,
  array,
  constantFrom,
  integer,
  nat,
  oneof,
  record,
  string,
  tuple
} from './fast-check.ts'
import { cutAt } from './upstream-events.ts'
import { endFrame, eventFrame } from './upstream-frames.ts'

/* Any answer of the upstream, what its client is sent, and what the model said. */

const words = string({ unit: 'grapheme', minLength: 1, maxLength: 12 })

/** One thing that a model does, as the frames it takes, cut anywhere. */
function stepOf(toolNames: readonly string[]): Arbitrary<readonly Buffer[]> {
  return oneof(
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
}

/** Whole bodies. Somewhere there are words: an answer of nothing is none. */
export function anyBody(toolNames: readonly string[]): Arbitrary<Buffer> {
  const steps = array(stepOf(toolNames), { maxLength: 3 })
  return tuple(steps, words, steps).map(([before, content, after]) => {
    const said = eventFrame('assistantResponseEvent', { content })
    return Buffer.concat([...before.flat(), said, ...after.flat(), endFrame])
  })
}

/** What a client is sent for chunks of the upstream; without `isWhole` the body breaks off after them. */
export function answerOf(
  plan: ReplyPlan,
  writer: AnswerWriter,
  chunks: readonly Uint8Array[],
  isWhole = true
) {
  const parts: StreamPart[] = []
  let text = ''
  const onPart = (part: StreamPart): void => {
    parts.push(part)
    text += toText(writer.push(part))
  }
  const reader = new AnswerReader(new PartReader(plan))
  for (const chunk of chunks) reader.feed(chunk, onPart)
  if (isWhole) reader.end(onPart)
  else text += toText(writer.fail(new GatewayError('GW_UPSTREAM_RESET')))
  return { text, parts }
}

export interface Said {
  text: string
  reasoning: string
  calls: { id: string; name: string; json: string }[]
}

/** What the model said, from the parts alone, without the calls that were cut. */
export function saidIn(parts: readonly StreamPart[]): Said {
  const said: Said = { text: '', reasoning: '', calls: [] }
  for (const part of parts) {
    if (part.type === 'text') said.text += part.text
    if (part.type === 'reasoning') said.reasoning += part.text
    if (part.type === 'tool-start') said.calls.push({ id: part.id, name: part.name, json: '' })
    if (part.type === 'tool-delta') said.calls.at(-1)!.json += part.json
    if (part.type === 'tool-end' && part.isCut === true) said.calls.pop()
  }
  return said
}

/** A network, for an SDK, that answers with a stream in slices of so many bytes. */
export function fetchOf(stream: string, sliceBytes: number) {
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

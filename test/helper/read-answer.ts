import { type AnswerWriter, toText } from '../../src/dialects/answer/answer-writer.ts'
import { PartReader, type PartReaderOptions } from '../../src/dialects/answer/part-reader.ts'
import {
  type StreamPart,
  toDeltas,
  type CompleteCall
} from '../../src/dialects/answer/stream-part.ts'
import type { ReplyPlan } from '../../src/dialects/plan/plan.ts'
import type { UpstreamEvent } from '../../src/kiro/wire/event.ts'

/** All parts of an answer that ends cleanly; reading stops where the reader says so, as the caller's does. */
export function readParts(
  plan: ReplyPlan,
  events: readonly UpstreamEvent[],
  options: PartReaderOptions = {}
): readonly StreamPart[] {
  const reader = new PartReader(plan, options)
  const parts: StreamPart[] = []
  for (const event of events) {
    if (reader.isStopped) break
    parts.push(...reader.push(event))
  }
  parts.push(...reader.end())
  return parts
}

/** The whole text that a client gets for these parts. */
export function translate(writer: AnswerWriter, parts: readonly StreamPart[]): string {
  return parts.map((part) => toText(writer.push(part))).join('')
}

/** The parsed body that a client gets for these parts. */
export function collect(writer: AnswerWriter, parts: readonly StreamPart[]): unknown {
  for (const part of parts) writer.push(part)
  return JSON.parse(toText(writer.toJson()))
}

/** The parts of one whole call: its start, its arguments in order, its end. */
export function toToolParts({ id, name, json }: CompleteCall): readonly StreamPart[] {
  return [{ type: 'tool-start', id, name }, ...toDeltas(json), { type: 'tool-end' }]
}

/** Text, reasoning and calls of an answer, however they were cut into parts. */
export function summarize(parts: readonly StreamPart[]): AnswerSummary {
  const summary = { text: '', reasoning: '', calls: [] as CallSummary[], reason: '' }
  for (const part of parts) {
    if (part.type === 'text') summary.text += part.text
    if (part.type === 'reasoning') summary.reasoning += part.text
    if (part.type === 'tool-start') {
      summary.calls.push({ id: part.id, name: part.name, json: '' })
    }
    if (part.type === 'tool-delta') summary.calls.at(-1)!.json += part.json
    if (part.type === 'end') summary.reason = part.reason
  }
  return summary
}

export interface CallSummary {
  readonly id: string
  readonly name: string
  json: string
}

export interface AnswerSummary {
  readonly text: string
  readonly reasoning: string
  readonly calls: readonly CallSummary[]
  readonly reason: string
}

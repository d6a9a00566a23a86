import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { AnswerWriter } from '../../dialects/answer/answer-writer.ts'
import type { AnswerRoom } from '../../dialects/answer/output-text.ts'
import { createWriter, dialectOf } from '../../dialects/dialect.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import { type AnswerSink, CollectReply, KeptReply } from '../../reply/sinks.ts'
import { StreamReply } from '../../reply/stream-reply.ts'
import type { RequestPayload } from '../../upstream/call/request-payload.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import type { Progress } from '../plane/open-turns.ts'
import { asCarriedOut } from './turn-record.ts'

export interface SinkOptions {
  readonly plane: Pick<DataPlane, 'config' | 'items' | 'isLeaving'>
  readonly plan: ReplyPlan
  /** Name of the client's key. */
  readonly keyName: string
  readonly payload: RequestPayload
  readonly progress: Progress
  readonly response: ServerResponse
  /** For what is held of the answer. */
  readonly room: AnswerRoom
  /** Aborted when the client has not read anything for CLIENT_STALL_TIMEOUT. */
  readonly gone: AbortController
}

/** Where the answer to one request goes, as its plan says: streamed or in one piece, and kept for later or not. */
export function createSink(options: SinkOptions): AnswerSink {
  const { plane, plan, keyName: owner, response, room } = options
  const identity = {
    id: dialectOf(plan).toAnswerId(randomUUID().replaceAll('-', '')),
    created: Math.floor(Date.now() / 1000)
  }
  const writer = createWriter(plan, identity, room)
  const sink = toReply(writer, options)
  if (!plan.asked.keepsItems) return sink
  return new KeptReply({
    sink,
    save: () => plane.items.save({ owner, responseId: identity.id, items: writer.keptItems }),
    isGone: () => response.destroyed
  })
}

function toReply(writer: AnswerWriter, options: SinkOptions): AnswerSink {
  const { plane, plan, payload, progress, response, gone } = options
  const { heartbeatMs, clientStallTimeoutMs: stallTimeoutMs } = plane.config().server
  // Known only when the answer begins.
  const headers = (): Readonly<Record<string, string>> => ({
    'server-timing': progress.toServerTiming(),
    ...headersOf(plane, asCarriedOut(plan, payload))
  })
  const common = { response, stallTimeoutMs, headers, gone }
  return plan.asked.isStream
    ? new StreamReply({ ...common, translator: writer, heartbeatMs })
    : new CollectReply({ ...common, collector: writer })
}

/** Of every answer; of errors, too, since a repair may be what the upstream refused. */
export function headersOf(
  plane: Pick<DataPlane, 'isLeaving'>,
  plan: ReplyPlan | null
): Readonly<Record<string, string>> {
  const repairs = plan?.repairs ?? []
  return {
    ...(repairs.length > 0 && { 'x-kiro-gateway-repairs': repairs.join(', ') }),
    ...(plane.isLeaving() && { connection: 'close' })
  }
}

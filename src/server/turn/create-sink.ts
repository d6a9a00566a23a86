import { randomUUID } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import type { AnswerRoom } from '../../dialects/answer/long-text.ts'
import type { Collector, Translator } from '../../dialects/answer/stream-part.ts'
import { createWriter, dialectOf } from '../../dialects/dialect.ts'
import type { ReplyPlan } from '../../dialects/plan/plan.ts'
import { type AnswerSink, CollectReply, KeptReply } from '../../reply/sinks.ts'
import { StreamReply } from '../../reply/stream-reply.ts'
import type { DataPlane } from '../plane/data-plane.ts'

export interface SinkOptions {
  readonly plane: Pick<DataPlane, 'config' | 'items'>
  readonly plan: ReplyPlan
  /** Name of the client's key. */
  readonly keyName: string
  readonly response: ServerResponse
  /** For what is held of the answer. */
  readonly room: AnswerRoom
  /** Headers that are only known when the answer begins. */
  readonly headers: () => Readonly<Record<string, string>>
  /** The client has not read anything for CLIENT_STALL_TIMEOUT. */
  readonly onStalled: () => void
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
    save: () =>
      plane.items.save({ owner, responseId: identity.id, items: writer.keptItems ?? new Map() }),
    isGone: () => response.destroyed
  })
}

function toReply(writer: Translator | Collector, options: SinkOptions): AnswerSink {
  const { plane, response, headers, onStalled } = options
  const { heartbeatMs, clientStallTimeoutMs: stallTimeoutMs } = plane.config().server
  const common = { response, stallTimeoutMs, headers, onStalled }
  return 'toJson' in writer
    ? new CollectReply({ ...common, collector: writer })
    : new StreamReply({ ...common, translator: writer, heartbeatMs })
}

import type { ServerResponse } from 'node:http'
import { byteLengthOf } from '../dialects/output-text.ts'
import type { Collector, StreamPart } from '../dialects/stream-part.ts'
import type { AnswerSink } from './answer-sink.ts'
import { StallTimer } from './stall-timer.ts'

export interface CollectReplyOptions {
  readonly response: ServerResponse
  readonly collector: Collector
  readonly stallTimeoutMs: number
  readonly headers: () => Readonly<Record<string, string>>
  /** The client has not read the answer within `stallTimeoutMs`. */
  readonly onStalled: () => void
}

/** Parts → one JSON body. Nothing is sent before the answer is whole, so every failure has its own status. */
export class CollectReply implements AnswerSink {
  readonly hasBegun = false
  readonly #options: CollectReplyOptions

  constructor(options: CollectReplyOptions) {
    this.#options = options
  }

  attach(): void {}

  /** Nothing is written before the end, so there is nothing to wait for. */
  async whenDrained(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
  }

  onSent(): void {}

  onIdle(): void {}

  push(part: StreamPart): void {
    this.#options.collector.push(part)
  }

  flush(): void {}

  end(): void {
    const { response, collector, headers, stallTimeoutMs, onStalled } = this.#options
    const json = collector.toJson()
    const body = typeof json === 'string' ? Buffer.from(json) : json
    response.writeHead(200, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.isBuffer(body) ? body.byteLength : byteLengthOf(body),
      ...headers()
    })
    if (Buffer.isBuffer(body)) response.end(body)
    else endInParts(response, body)
    new StallTimer({ response, timeoutMs: stallTimeoutMs, onStalled }).watchEnd()
  }

  fail(): void {
    throw new Error('a collected reply has no body to fail in')
  }

  /** The timer of an answer that was sent ends with its connection. */
  dispose(): void {}
}

/** The parts are bytes that are held already: they wait for a slow client as they are, and are never copied. */
function endInParts(response: ServerResponse, parts: readonly (string | Uint8Array)[]): void {
  response.cork()
  for (const part of parts) response.write(part)
  response.uncork()
  response.end()
}

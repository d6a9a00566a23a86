import type { ServerResponse } from 'node:http'
import { byteLengthOf } from '../dialects/answer/output-text.ts'
import type { RoundReader } from '../dialects/answer/round.ts'
import type { AnswerWriter } from '../dialects/answer/answer-writer.ts'
import type { StreamPart } from '../dialects/answer/stream-part.ts'
import type { GatewayError } from '../shared/errors.ts'
import { StallTimer } from './stream-reply.ts'

/** Producer for a sink: one call to the upstream. */
export interface AnswerSource {
  /** Stops reading from the upstream. */
  pause(): void
  resume(): void
}

/**
 * Destination of an answer: a stream of events or, collected, one JSON body.
 *
 * Only the sink knows when its client reads too slowly. It stops the call that fills it until the client has read, and
 * any other producer awaits `whenDrained()` first.
 */
export interface AnswerSink {
  /** The client has been sent a status: failures must travel inside the answer from now on. */
  readonly hasBegun: boolean
  /** Parts come from this call from now on, instead of the one before. Pauses it at once while the sink is full. */
  attach(source: AnswerSource): void
  /** Resolves when the client has read enough for more to be pushed. Rejects with the signal's reason. */
  whenDrained(signal: AbortSignal): Promise<void>
  /** A request for this answer is on its way upstream: silence is now worth a heartbeat. */
  onSent(): void
  /** That request is over and there may be another: the upstream is not at work, so there are no heartbeats. */
  onIdle(): void
  push(part: StreamPart): void
  /** One chunk of the upstream has been pushed: time to write. */
  flush(): void
  /** Everything was pushed, the `end` part last. */
  end(): void
  /** The answer broke; only after `hasBegun`. Ends it without the dialect's end marker. */
  fail(error: GatewayError): void
  /** Frees timers and listeners; call always, after `end`, `fail` or instead of them. */
  dispose(): void
}

export interface CollectReplyOptions {
  readonly response: ServerResponse
  readonly writer: Pick<AnswerWriter, 'push' | 'toJson'>
  readonly stallTimeoutMs: number
  readonly headers: () => Readonly<Record<string, string>>
  /** Aborted when the client has not read the answer within `stallTimeoutMs`. */
  readonly gone: AbortController
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
    this.#options.writer.push(part)
  }

  flush(): void {}

  end(): void {
    const { response, writer, headers, stallTimeoutMs, gone } = this.#options
    const json = writer.toJson()
    const body = typeof json === 'string' ? Buffer.from(json) : json
    response.writeHead(200, {
      'content-type': 'application/json; charset=utf-8',
      'content-length': Buffer.isBuffer(body) ? body.byteLength : byteLengthOf(body),
      ...headers()
    })
    if (Buffer.isBuffer(body)) response.end(body)
    else endInParts(response, body)
    new StallTimer({ response, timeoutMs: stallTimeoutMs, gone }).watchEnd()
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

export interface KeptReplyOptions {
  readonly sink: AnswerSink
  /** Keeps what was pushed for later requests; never rejects and takes a bounded time. */
  readonly save: () => Promise<void>
  /** The client has left: the end need not be told. */
  readonly isGone: () => boolean
}

/** Base of wrappers around the client's sink, which decides whether it has begun and keeps up. */
abstract class PassingSink implements AnswerSink {
  protected readonly sink: AnswerSink

  constructor(sink: AnswerSink) {
    this.sink = sink
  }

  get hasBegun(): boolean {
    return this.sink.hasBegun
  }

  attach(source: AnswerSource): void {
    this.sink.attach(source)
  }

  whenDrained(signal: AbortSignal): Promise<void> {
    return this.sink.whenDrained(signal)
  }

  onSent(): void {
    this.sink.onSent()
  }

  onIdle(): void {
    this.sink.onIdle()
  }

  abstract push(part: StreamPart): void
  abstract flush(): void
  abstract end(): void

  fail(error: GatewayError): void {
    this.sink.fail(error)
  }

  dispose(): void {
    this.sink.dispose()
  }
}

/**
 * An answer whose client may refer to it in its next request: the end is told only when every worker can look the
 * answer up. Owns the sink.
 */
export class KeptReply extends PassingSink {
  readonly #options: KeptReplyOptions
  #state: 'open' | 'ending' | 'saving' | 'disposed-while-saving' | 'over' = 'open'

  constructor(options: KeptReplyOptions) {
    super(options.sink)
    this.#options = options
  }

  push(part: StreamPart): void {
    if (part.type === 'end') this.#state = 'ending'
    this.sink.push(part)
  }

  flush(): void {
    if (this.#state === 'open') this.sink.flush()
  }

  end(): void {
    this.#state = 'saving'
    void this.#saveAndEnd() // rejects only for bugs
  }

  /** Takes effect when the end has been told. */
  override dispose(): void {
    if (this.#state === 'saving') this.#state = 'disposed-while-saving'
    else this.sink.dispose()
  }

  async #saveAndEnd(): Promise<void> {
    const { save, isGone } = this.#options
    await save()
    if (!isGone()) this.sink.end()
    if (this.#state === 'disposed-while-saving') this.sink.dispose()
    this.#state = 'over'
  }
}

/**
 * Takes one round of an answer in place of the client's sink. What the reader lets pass goes on to that; the end of
 * the round is not yet the end of the answer.
 */
export class RoundSink extends PassingSink {
  readonly #reader: RoundReader

  constructor(sink: AnswerSink, reader: RoundReader) {
    super(sink)
    this.#reader = reader
  }

  push(part: StreamPart): void {
    for (const passed of this.#reader.push(part)) this.sink.push(passed)
  }

  flush(): void {
    this.sink.flush()
  }

  end(): void {
    this.sink.flush()
    this.sink.onIdle()
  }
}

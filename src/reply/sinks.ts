import type { RoundReader } from '../dialects/answer/round.ts'
import { type AnswerWriter, byteLengthOf } from '../dialects/answer/answer-writer.ts'
import type { StreamPart } from '../dialects/answer/stream-part.ts'
import type { GatewayError } from '../shared/errors.ts'
import type { ClientResponse } from './client-response.ts'
import { StallTimer } from './stream-reply.ts'

export interface AnswerSource {
  pause(): void
  resume(): void
}

/**
 * Only the sink knows that its client reads too slowly: it pauses the attached call; other producers await
 * `whenDrained()`.
 */
export interface AnswerSink {
  /** A status was sent: failures must travel inside the answer. */
  readonly hasBegun: boolean
  /** Replaces the call that fills the sink; pauses it at once if the sink is full. */
  attach(source: AnswerSource): void
  /** Rejects with the signal's reason. */
  whenDrained(signal: AbortSignal): Promise<void>
  /** A request is on its way upstream: silence deserves heartbeats. */
  onSent(): void
  /** The request is over: no heartbeats until the next. */
  onIdle(): void
  push(part: StreamPart): void
  flush(): void
  end(): void
  /** Ends a begun answer without the dialect's end marker. */
  fail(error: GatewayError): void
  /** Frees timers and listeners; always call it, last. */
  dispose(): void
}

export interface CollectReplyOptions {
  readonly response: ClientResponse
  readonly writer: Pick<AnswerWriter, 'push' | 'toJson'>
  readonly stallTimeoutMs: number
  readonly headers: () => Readonly<Record<string, string>>
  /** Aborted if the client does not read within `stallTimeoutMs`. */
  readonly gone: AbortController
}

/** Parts → one JSON body. Sends nothing before the answer is whole, so that each failure has its own status. */
export class CollectReply implements AnswerSink {
  readonly hasBegun = false
  readonly #options: CollectReplyOptions

  constructor(options: CollectReplyOptions) {
    this.#options = options
  }

  attach(): void {}

  /** Nothing is written before the end, so nothing is awaited. */
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

  /** The timer of a sent answer ends with its connection. */
  dispose(): void {}
}

/** Sends held bytes as they are, without a copy, however slow the client is. */
function endInParts(response: ClientResponse, parts: readonly (string | Uint8Array)[]): void {
  response.cork()
  for (const part of parts) response.write(part)
  response.uncork()
  response.end()
}

export interface KeptReplyOptions {
  readonly sink: AnswerSink
  /** Keeps the answer for later requests. */
  readonly save: () => Promise<void>
  readonly isGone: () => boolean
}

/** Wraps the client's sink, which decides whether it has begun and keeps up. */
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

/** Ends only when every worker can look the answer up, as the client may refer to it next. Owns the sink. */
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

  /** Takes effect after the end. */
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

/** Replaces the client's sink for one round: passes on what the reader lets through, and keeps the round's end. */
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

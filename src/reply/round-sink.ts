import type { RoundReader } from '../dialects/round-reader.ts'
import type { StreamPart } from '../dialects/stream-part.ts'
import type { GatewayError } from '../shared/errors.ts'
import type { AnswerSink, AnswerSource } from './answer-sink.ts'

/**
 * Takes one round of an answer in place of the client's sink. What the reader lets pass goes on to that; the end of
 * the round is not the end of the answer until somebody has said so.
 */
export class RoundSink implements AnswerSink {
  readonly #sink: AnswerSink
  readonly #reader: RoundReader

  constructor(sink: AnswerSink, reader: RoundReader) {
    this.#sink = sink
    this.#reader = reader
  }

  get hasBegun(): boolean {
    return this.#sink.hasBegun
  }

  attach(source: AnswerSource): void {
    this.#sink.attach(source)
  }

  whenDrained(signal: AbortSignal): Promise<void> {
    return this.#sink.whenDrained(signal)
  }

  onSent(): void {
    this.#sink.onSent()
  }

  onIdle(): void {
    this.#sink.onIdle()
  }

  push(part: StreamPart): void {
    for (const passed of this.#reader.push(part)) this.#sink.push(passed)
  }

  flush(): void {
    this.#sink.flush()
  }

  end(): void {
    this.#sink.flush()
    this.#sink.onIdle()
  }

  fail(error: GatewayError): void {
    this.#sink.fail(error)
  }

  dispose(): void {
    this.#sink.dispose()
  }
}

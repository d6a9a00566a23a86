import type { StreamPart } from '../dialects/stream-part.ts'
import type { GatewayError } from '../shared/errors.ts'
import type { AnswerSink, AnswerSource } from './answer-sink.ts'

export interface KeptReplyOptions {
  readonly sink: AnswerSink
  /** Keeps what was pushed for later requests; never rejects and takes a bounded time. */
  readonly save: () => Promise<void>
  /** The client has left: there is nobody to tell the end. */
  readonly isGone: () => boolean
}

/**
 * An answer whose client may refer to it in its next request: the end is told only when every worker can look the
 * answer up. Owns the sink.
 */
export class KeptReply implements AnswerSink {
  readonly #options: KeptReplyOptions
  readonly #sink: AnswerSink
  #state: 'open' | 'ending' | 'saving' | 'disposed-while-saving' | 'over' = 'open'

  constructor(options: KeptReplyOptions) {
    this.#options = options
    this.#sink = options.sink
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
    if (part.type === 'end') this.#state = 'ending'
    this.#sink.push(part)
  }

  flush(): void {
    if (this.#state === 'open') this.#sink.flush()
  }

  end(): void {
    this.#state = 'saving'
    void this.#saveAndEnd() // rejects only for bugs
  }

  fail(error: GatewayError): void {
    this.#sink.fail(error)
  }

  /** Takes effect when the end has been told. */
  dispose(): void {
    if (this.#state === 'saving') this.#state = 'disposed-while-saving'
    else this.#sink.dispose()
  }

  async #saveAndEnd(): Promise<void> {
    const { save, isGone } = this.#options
    await save()
    if (!isGone()) this.#sink.end()
    if (this.#state === 'disposed-while-saving') this.#sink.dispose()
    this.#state = 'over'
  }
}

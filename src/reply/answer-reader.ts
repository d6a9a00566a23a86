import type { PartReader } from '../dialects/part-reader.ts'
import type { StreamPart } from '../dialects/stream-part.ts'
import { FrameDecoder } from '../frames/frame-decoder.ts'
import { parseUpstreamEvent, type UpstreamEvent } from '../kiro/event.ts'
import { faultOfException, type UpstreamFault } from '../kiro/fault.ts'
import { GatewayError } from '../shared/errors.ts'

/** In the name of the exception that ends an answer at the model's limit. */
const CUT_OFF = 'contentlengthexceeded'

/** Events that are the model's own words; before the first of them the request is what was too long. */
const ANSWERING: ReadonlySet<UpstreamEvent['type']> = new Set(['text', 'reasoning', 'tool'])

/** Upstream bytes → stream parts: frames are cut, typed and read. */
export class AnswerReader {
  readonly #decoder = new FrameDecoder()
  readonly #parts: PartReader
  readonly #onIgnored: (eventType: string) => void
  #isCutOff = false
  #hasFrames = false
  /** The model has said something, or the beginning of it. */
  #hasBegun = false

  /** `onIgnored` is told the type of every event that nobody acts on. */
  constructor(parts: PartReader, onIgnored: (eventType: string) => void) {
    this.#parts = parts
    this.#onIgnored = onIgnored
  }

  /** A stop sequence was found: what follows is of no interest. */
  get isStopped(): boolean {
    return this.#parts.isStopped || this.#isCutOff
  }

  /**
   * Reads a chunk, cut anywhere. Parts are handed on as they appear, so that those before an exception in the
   * same chunk are not lost. Gives the exception, after which nothing more may be fed.
   *
   * @throws {GatewayError} GW_FRAME_CORRUPT, GW_FRAME_TOO_LARGE.
   */
  feed(chunk: Uint8Array, onPart: (part: StreamPart) => void): UpstreamFault | null {
    for (const frame of this.#decoder.feed(chunk)) {
      if (this.isStopped) return null
      this.#hasFrames = true
      const event = parseUpstreamEvent(frame)
      if (event.type === 'exception') {
        // Not a failure where an answer has begun: it is whole up to the model's limit (kiro-protocol §5.8).
        this.#isCutOff = this.#hasBegun && event.name.toLowerCase().includes(CUT_OFF)
        return this.#isCutOff ? null : faultOfException(event)
      }
      this.#hasBegun ||= ANSWERING.has(event.type)
      if (event.type === 'ignored') this.#onIgnored(event.eventType)
      else for (const part of this.#parts.push(event)) onPart(part)
    }
    if (!this.isStopped) this.#decoder.throwIfFailed()
    return null
  }

  /**
   * The body has ended, or nothing more is wanted of it.
   *
   * @throws {GatewayError} GW_STREAM_TRUNCATED when it ended inside a frame; GW_UPSTREAM_RESET when it held none: an
   *   answer without words still says that it is over.
   */
  end(onPart: (part: StreamPart) => void): void {
    if (!this.isStopped) this.#decoder.end()
    if (!this.#hasFrames) throw new GatewayError('GW_UPSTREAM_RESET', 'an answer of no bytes')
    for (const part of this.#isCutOff ? this.#parts.cutOff() : this.#parts.end()) onPart(part)
  }
}

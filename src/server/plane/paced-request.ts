import { IncomingMessage } from 'node:http'

/**
 * Each chunk of a body costs a microsecond, however small it is, and libuv reads up to 2 MiB of one connection before it
 * looks at another. A client that sends more chunks is read on in the next turn of the event loop.
 */
const MAX_CHUNKS_A_TURN = 256
/** A body of more chunks than that has so many bytes in each on average. The chunks of real clients have kilobytes. */
const MIN_COUNTED_CHUNKS = 4_096
const MIN_CHUNK_BYTES = 16

/** A body comes in chunks of so few bytes that reading it would cost others more than it can be worth to its client. */
export class BodyInCrumbs extends Error {
  readonly code = 'BODY_IN_CRUMBS'
}

/** Nothing more of its body is read. Its reader has heard a `BodyInCrumbs`, or will find out here. */
export function isInCrumbs(request: IncomingMessage): boolean {
  return request instanceof PacedRequest && request.isInCrumbs
}

/** A request of a client, whose body is read no faster than is fair to others. */
export abstract class PacedRequest extends IncomingMessage {
  #chunks = 0
  #bytes = 0
  #chunksInTurn = 0
  /** `held`: until the next turn of the event loop. */
  #state: 'steady' | 'held' | 'refused' = 'steady'
  /** More was asked for while it was held; it is not asked for twice. */
  #isReadDue = false

  get isInCrumbs(): boolean {
    return this.#state === 'refused'
  }

  /** Called once, when it is found to be in crumbs. */
  abstract onCrumbs(): void

  /** Node's parser calls it with each chunk, and stops to read the socket when it gives false. */
  override push(chunk: Buffer | null): boolean {
    if (chunk === null) return super.push(chunk)
    if (this.#state === 'refused') return false
    this.#chunks += 1
    this.#bytes += chunk.byteLength
    if (this.#chunks > MIN_COUNTED_CHUNKS && this.#bytes < this.#chunks * MIN_CHUNK_BYTES) {
      this.#state = 'refused'
      this.onCrumbs()
      return false
    }
    if (this.#chunksInTurn++ === 0) setImmediate(() => this.#onNextTurn())
    if (this.#chunksInTurn > MAX_CHUNKS_A_TURN) this.#state = 'held'
    const isSteady = this.#state === 'steady'
    return super.push(chunk) && isSteady
  }

  override _read(bytes: number): void {
    if (this.#state === 'steady')
      super._read(bytes) // oxlint-disable-line no-underscore-dangle
    else this.#isReadDue = true
  }

  #onNextTurn(): void {
    this.#chunksInTurn = 0
    if (this.#state !== 'held') return
    this.#state = 'steady'
    const isWanted = this.#isReadDue || this.readableLength < this.readableHighWaterMark
    this.#isReadDue = false
    if (isWanted && !this.complete) super._read(0) // oxlint-disable-line no-underscore-dangle
  }
}

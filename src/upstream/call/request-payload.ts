import { freeMemory } from '../../shared/own-memory.ts'

const OPENING_BRACE = 0x7b

/** The memory that is set aside for a payload. */
export interface PayloadMemory {
  /** @throws {GatewayError} GW_MEMORY_FULL; the error that ended the request. */
  growTo(payloadBytes: number): void
  /** The payload is gone. */
  shrinkToKept(): void
}

export interface RequestPayloadOptions {
  /** Taken: the caller must not keep them. */
  readonly bytes: Uint8Array
  /** Follows the payload's size. */
  readonly memory: PayloadMemory
  /** Another round may have to be made of it: it stays until `drop()`, or until `hand()` makes it like any other. */
  readonly isKept?: boolean
}

/**
 * A request's payload for as long as it may have to be sent again: until the first part of its answer, unless it is
 * kept. Answers run for minutes and dozens of them at once, so nobody else may keep a reference to the bytes.
 */
export class RequestPayload {
  readonly #memory: PayloadMemory
  #bytes: Uint8Array | null
  #isKept: boolean
  #isTrimmed = false

  constructor({ bytes, memory, isKept = false }: RequestPayloadOptions) {
    this.#bytes = bytes
    this.#memory = memory
    this.#isKept = isKept
  }

  /**
   * As they were given, also after a call that wrote its own head over the opening brace (`withProfileArn`).
   *
   * @throws Error once they have been let go.
   */
  get bytes(): Uint8Array {
    if (this.#bytes === null) throw new Error('the payload has been let go')
    this.#bytes[0] = OPENING_BRACE
    return this.#bytes
  }

  /** The oldest turns of the conversation were left out. */
  get isTrimmed(): boolean {
    return this.#isTrimmed
  }

  /** What is left of the payload, as `bytes` has it; null once it has been let go. Not while it is being sent. */
  peek(): Uint8Array | null {
    return this.#bytes === null ? null : this.bytes
  }

  /** Takes the bytes of a shorter conversation in place of those there were. */
  trim(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#isTrimmed = true
  }

  /**
   * Sets memory aside for the next round, before its bytes are made.
   *
   * @throws as `PayloadMemory.growTo()`
   */
  reserve(addedBytes: number): void {
    this.#memory.growTo(this.bytes.byteLength + addedBytes)
  }

  /** Takes the bytes of the next round in place of those there were. @throws as `PayloadMemory.growTo()` */
  replace(bytes: Uint8Array): void {
    this.#bytes = bytes
    this.#memory.growTo(bytes.byteLength)
  }

  /** No round follows the one that is asked now. */
  hand(): void {
    this.#isKept = false
  }

  /**
   * The answer to a call with this body has begun: frees the payload, unless it is kept. True where the body is of no more
   * use: not so a kept payload that went out as it is. Where it lies in the payload's memory, the call knows when it is
   * safe to free that (`releaseSentBody`).
   */
  onAnswer(sent: Uint8Array | string | null): boolean {
    const isPayload = sent instanceof Uint8Array && sent.buffer === this.#bytes?.buffer
    if (this.#isKept) return !isPayload
    if (!isPayload) releaseSentBody(this.#bytes)
    this.drop()
    return true
  }

  /** Lets it go. The memory of its bytes is freed once nobody reads them any more, perhaps a socket. */
  drop(): void {
    this.#bytes = null
    this.#memory.shrinkToKept()
  }
}

/**
 * Frees the memory of a body that was sent, although the HTTP engine keeps a reference to it until the end of the
 * answer. Does nothing unless the body has its memory for itself.
 */
export function releaseSentBody(body: Uint8Array | string | null): void {
  if (body instanceof Uint8Array) freeMemory(body)
}

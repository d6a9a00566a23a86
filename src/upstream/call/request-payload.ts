import { freeMemory } from '../../shared/own-memory.ts'

const OPENING_BRACE = 0x7b

export interface PayloadUse {
  /** Another round may have to be made of it: it stays until `drop()`. */
  readonly isKept: boolean
}

/**
 * A request's payload for as long as it may have to be sent again: until the first part of its answer, unless it is
 * kept. Answers run for minutes and dozens of them at once, so nobody else may keep a reference to the bytes.
 */
export class RequestPayload {
  readonly #isKept: boolean
  #bytes: Uint8Array | null

  /** Takes the bytes: the caller must not keep them. */
  constructor(bytes: Uint8Array, { isKept }: PayloadUse = { isKept: false }) {
    this.#bytes = bytes
    this.#isKept = isKept
  }

  /**
   * As they were given, also after a call that wrote its own head over the opening brace (`withProfileArn`).
   *
   * @throws Error after `forget()` and `drop()`.
   */
  get bytes(): Uint8Array {
    if (this.#bytes === null) throw new Error('the payload has been let go')
    this.#bytes[0] = OPENING_BRACE
    return this.#bytes
  }

  /** What is left of the payload, as `bytes` has it; null once it has been let go. Not while it is being sent. */
  peek(): Uint8Array | null {
    return this.#bytes === null ? null : this.bytes
  }

  /** Takes other bytes in place of those there were. */
  replace(bytes: Uint8Array): void {
    this.#bytes = bytes
  }

  /** Whether a body that was sent is of no more use: not so a kept payload that went out as it is. */
  isDoneWith(sent: Uint8Array | string | null): boolean {
    return !this.#isKept || !this.#isIn(sent)
  }

  /** Frees the bytes, unless what was sent lies in their memory: then `releaseSentBody` knows when that is safe. */
  forget(sent: Uint8Array | string | null): void {
    if (this.#isKept) return
    if (!this.#isIn(sent)) releaseSentBody(this.#bytes)
    this.#bytes = null
  }

  /** Lets a kept payload go. Its memory is freed once nobody reads it any more, perhaps a socket. */
  drop(): void {
    this.#bytes = null
  }

  #isIn(sent: Uint8Array | string | null): boolean {
    return sent instanceof Uint8Array && sent.buffer === this.#bytes?.buffer
  }
}

/**
 * Frees the memory of a body that was sent, although the HTTP engine keeps a reference to it until the end of the
 * answer. Does nothing unless the body has its memory for itself.
 */
export function releaseSentBody(body: Uint8Array | string | null): void {
  if (body instanceof Uint8Array) freeMemory(body)
}

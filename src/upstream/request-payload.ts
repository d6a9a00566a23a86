/**
 * A request's payload for as long as it may have to be sent again: until the first part of its answer. Answers run
 * for minutes and dozens of them at once, so nobody else may keep a reference to the bytes.
 */
export class RequestPayload {
  #bytes: Uint8Array | null

  /** Takes the bytes: the caller must not keep them. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** @throws Error after `forget()`. */
  get bytes(): Uint8Array {
    if (this.#bytes === null) throw new Error('the payload has been let go')
    return this.#bytes
  }

  /** Frees the bytes, unless they are themselves what was sent: then `releaseSentBody` knows when that is safe. */
  forget(sent: Uint8Array | string | null): void {
    if (this.#bytes !== sent) releaseSentBody(this.#bytes)
    this.#bytes = null
  }
}

/**
 * Frees the memory of a body that was sent, although the HTTP engine keeps a reference to it until the end of the
 * answer. Does nothing unless the body has its memory for itself.
 */
export function releaseSentBody(body: Uint8Array | string | null): void {
  if (!(body instanceof Uint8Array)) return
  const { buffer } = body
  if (!(buffer instanceof ArrayBuffer) || buffer.detached) return
  if (buffer.byteLength === body.byteLength) buffer.transfer(0)
}

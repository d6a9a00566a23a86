/** Questions to the other side that wait for their answers. */
export class Pending<Answer> {
  /** Bounded by the requests that ask, each of which ends. */
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #nextId = 1

  /**
   * Sends a question and waits for its answer, which must carry the id that `send` is given.
   *
   * @throws the signal's reason.
   */
  async ask(send: (requestId: number) => void, signal?: AbortSignal): Promise<Answer> {
    signal?.throwIfAborted()
    const requestId = this.#nextId++
    const { promise, resolve, reject } = Promise.withResolvers<Answer>()
    const onAbort = (): void => reject(signal?.reason)
    this.#waiting.set(requestId, resolve)
    signal?.addEventListener('abort', onAbort, { once: true })
    send(requestId)
    try {
      return await promise
    } finally {
      signal?.removeEventListener('abort', onAbort)
      this.#waiting.delete(requestId)
    }
  }

  /** An answer that nobody waits for any more is dropped. */
  answer(requestId: number, answer: Answer): void {
    this.#waiting.get(requestId)?.(answer)
  }
}

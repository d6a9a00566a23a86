/** The part of `process`, `Worker` and `ChildProcess` that a channel needs. */
export interface Endpoint {
  on(event: 'message', listener: (message: unknown) => void): unknown
  off(event: 'message', listener: (message: unknown) => void): unknown
  /** Missing in a process that has no parent to talk to. */
  send?(message: object, callback: (error: Error | null) => void): boolean
}

/**
 * A typed view of one end of Node's IPC channel. Messages arrive in order or not at all: once the other side
 * is gone, `send` does nothing, since the exit of a process is reported elsewhere.
 */
export class Channel<In extends { type: string }, Out extends { type: string }> {
  readonly #endpoint: Endpoint

  /** Takes the other side's handle in the primary, `process` in a worker. */
  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint
  }

  send(message: Out): void {
    // Without a callback a channel that closes in between would raise 'error' on the endpoint.
    this.#endpoint.send?.(message, () => {})
  }

  /** Calls `listener` for each message of the other side, until the returned function is called. */
  onMessage(listener: (message: In) => void): () => void {
    const onMessage = (message: unknown): void => {
      // Both ends are this program, so a `type` is proof enough; what libraries send has none.
      if (typeof message === 'object' && message !== null && 'type' in message) {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
        listener(message as In)
      }
    }
    this.#endpoint.on('message', onMessage)
    return () => this.#endpoint.off('message', onMessage)
  }
}

import { type FromWorker, subjectOf, type ToWorker } from './messages.ts'

/** The part of `process`, `Worker` and `ChildProcess` that a channel needs. */
export interface Endpoint {
  on(event: 'message', listener: (message: unknown) => void): unknown
  /** Missing in a process that has no parent to talk to. */
  send?(message: object, callback: (error: Error | null) => void): boolean
}

/** From so many undelivered messages on, newer news replace older. */
const MAX_UNDELIVERED = 64

/**
 * A typed view of one end of Node's IPC channel. Messages arrive in order or not at all: once the other side
 * is gone, `send` does nothing, since the exit of a process is reported elsewhere.
 *
 * Node keeps what the other side does not read, without a bound, and a process that hangs reads nothing. So while much
 * is undelivered, of messages that tell the latest of something (`subjectOf`) only the last is kept.
 */
export class Channel<In extends { type: string }, Out extends { type: string }> {
  readonly #endpoint: Endpoint
  #undelivered = 0
  /** Bounded by the subjects of messages. */
  readonly #latest = new Map<string, Out>()

  /** Takes the other side's handle in the primary, `process` in a worker. */
  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint
  }

  send(message: Out): void {
    const subject = this.#undelivered < MAX_UNDELIVERED ? null : subjectOf(message)
    if (subject === null) this.#post(message)
    else this.#latest.set(subject, message)
  }

  #post(message: Out): void {
    if (this.#endpoint.send === undefined) return
    this.#undelivered++
    // Without a callback a channel that closes in between would raise 'error' on the endpoint.
    this.#endpoint.send(message, () => this.#onDelivered())
  }

  #onDelivered(): void {
    this.#undelivered--
    for (const [subject, message] of this.#latest) {
      if (this.#undelivered >= MAX_UNDELIVERED) return
      this.#latest.delete(subject)
      this.#post(message)
    }
  }

  /** Calls `listener` for each message of the other side. */
  onMessage(listener: (message: In) => void): void {
    this.#endpoint.on('message', (message) => {
      // Both ends are this program, so a `type` is proof enough; what libraries send has none.
      if (typeof message === 'object' && message !== null && 'type' in message) {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
        listener(message as In)
      }
    })
  }
}

/** A worker's way to tell the primary something. */
export type ToPrimary = Pick<Channel<ToWorker, FromWorker>, 'send'>

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

  /** Answers a request; dropped if the answer is no longer awaited. */
  answer(requestId: number, answer: Answer): void {
    this.#waiting.get(requestId)?.(answer)
  }
}

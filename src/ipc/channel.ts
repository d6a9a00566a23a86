import { type FromWorker, subjectOf, type ToWorker } from './messages.ts'

export interface Endpoint {
  on(event: 'message', listener: (message: unknown) => void): unknown
  /** Missing in a process without a parent. */
  send?(message: object, callback: (error: Error | null) => void): boolean
}

/** Above this, newer news replace older. */
const MAX_UNDELIVERED = 64

/**
 * Typed end of Node's IPC channel; `send` does nothing once the other side is gone. Node queues without a bound for a
 * hanging process, so of undelivered messages only the last of each subject (`subjectOf`) is kept.
 */
export class Channel<In extends { type: string }, Out extends { type: string }> {
  readonly #endpoint: Endpoint
  #undelivered = 0
  /** Bounded by the subjects of messages. */
  readonly #latest = new Map<string, Out>()

  /** The other side's handle in the primary, `process` in a worker. */
  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint
  }

  send(message: Out): void {
    const subject = this.#undelivered < MAX_UNDELIVERED ? null : subjectOf(message)
    if (subject === null) return this.#post(message)
    this.#latest.delete(subject) // a later message must not overtake those between: `told.mark` says that they are in force
    this.#latest.set(subject, message)
  }

  #post(message: Out): void {
    if (this.#endpoint.send === undefined) return
    this.#undelivered++
    // Without a callback, a channel that closes meanwhile would raise 'error' on the endpoint.
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

  onMessage(listener: (message: In) => void): void {
    this.#endpoint.on('message', (message) => {
      // Both ends are this program, so a `type` is proof enough. Messages of libraries have none.
      if (typeof message === 'object' && message !== null && 'type' in message) {
        // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- see above
        listener(message as In)
      }
    })
  }
}

export type ToPrimary = Pick<Channel<ToWorker, FromWorker>, 'send'>

export class Pending<Answer> {
  /** Bounded by the requests that ask, each of which ends. */
  readonly #waiting = new Map<number, (answer: Answer) => void>()
  #nextId = 1

  /** `send` gets the id that the answer must carry. @throws the signal's reason. */
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

  answer(requestId: number, answer: Answer): void {
    this.#waiting.get(requestId)?.(answer)
  }
}

import type { ServerResponse } from 'node:http'

export interface StallTimerOptions {
  readonly response: ServerResponse
  readonly timeoutMs: number
  /** The client has not read what waits for it within `timeoutMs`. */
  readonly onStalled: () => void
}

/**
 * Ends a connection whose client does not read. It is reset: closed, it would live on in the system for minutes, with
 * all that is unread.
 */
export function cutOff(response: ServerResponse): void {
  response.socket?.resetAndDestroy()
  response.destroy()
}

/** How long a client may leave its answer unread. Runs only while something waits to be read. */
export class StallTimer {
  readonly #options: StallTimerOptions
  #timer: NodeJS.Timeout | null = null

  constructor(options: StallTimerOptions) {
    this.#options = options
  }

  get isRunning(): boolean {
    return this.#timer !== null
  }

  /** Something could not be written at once. Does nothing while it runs. */
  start(): void {
    const { timeoutMs, onStalled } = this.#options
    this.#timer ??= setTimeout(onStalled, timeoutMs)
  }

  /** Everything was read, or nobody will read any more. */
  stop(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
  }

  /** The whole answer has been written: runs until its client has taken all of it or is gone. */
  watchEnd(): void {
    const { response } = this.#options
    if (response.writableFinished || response.destroyed) return this.stop()
    this.start()
    response.once('close', () => this.stop())
  }
}

/** Resolves once the system has taken all of an answer, or its client is gone. */
export function whenSent(response: ServerResponse): Promise<void> {
  if (response.writableFinished || response.destroyed) return Promise.resolve()
  return new Promise((resolve) => {
    response.once('finish', resolve).once('close', resolve)
  })
}

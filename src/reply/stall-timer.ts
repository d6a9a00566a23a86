import type { ServerResponse } from 'node:http'
import { GatewayError } from '../shared/errors.ts'

export interface StallTimerOptions {
  readonly response: ServerResponse
  readonly timeoutMs: number
  /** Ends everything that is done for the client. */
  readonly gone: AbortController
}

/**
 * How long a client may leave its answer unread. Runs only while something waits to be read.
 *
 * A connection whose client does not read is reset: closed, it would live on in the system for minutes, with all that is
 * unread.
 */
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
    const { response, timeoutMs, gone } = this.#options
    this.#timer ??= setTimeout(() => {
      gone.abort(new GatewayError('GW_CLIENT_STALLED'))
      response.socket?.resetAndDestroy()
      response.destroy()
    }, timeoutMs)
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

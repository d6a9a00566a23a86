/**
 * Notices that the reader of standard output has left, as `head` does after ten lines: the next write fails then. Node cannot
 * ask a pipe before.
 */
export class ReaderWatch implements Disposable {
  readonly #left = new AbortController()
  readonly #stdout: NodeJS.WritableStream
  readonly #onLeft = (): void => this.#left.abort(new Error('the reader has left'))

  constructor(stdout: NodeJS.WritableStream) {
    this.#stdout = stdout
    stdout.on('error', this.#onLeft)
  }

  /** Aborts when the reader has left. */
  get signal(): AbortSignal {
    return this.#left.signal
  }

  [Symbol.dispose](): void {
    this.#stdout.off('error', this.#onLeft)
  }
}

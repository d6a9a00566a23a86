import { closeSync, constants, fstatSync, openSync } from 'node:fs'
import { codeOf } from '../../shared/errors.ts'

const LOOK_MS = 500

type StandardOutput = typeof process.stdout

/**
 * Notices that the reader of standard output has left, as `head` does after ten lines. A write would fail then, but where
 * nothing more is written, only a look tells: on Linux, a pipe without a reader cannot be opened for writing.
 */
export class ReaderWatch implements Disposable {
  readonly #left = new AbortController()
  readonly #stdout: StandardOutput
  readonly #timer: NodeJS.Timeout | null
  readonly #onLeft = (): void => this.#left.abort(new Error('the reader has left'))

  constructor(stdout: StandardOutput) {
    this.#stdout = stdout
    stdout.on('error', this.#onLeft)
    this.#timer = isPipe(stdout.fd) ? setInterval(() => this.#look(), LOOK_MS).unref() : null
  }

  /** Aborts when the reader has left. */
  get signal(): AbortSignal {
    return this.#left.signal
  }

  #look(): void {
    try {
      const flags = constants.O_WRONLY | constants.O_NONBLOCK
      closeSync(openSync(`/proc/self/fd/${this.#stdout.fd}`, flags))
    } catch (cause) {
      if (codeOf(cause) === 'ENXIO') this.#onLeft()
    }
  }

  [Symbol.dispose](): void {
    this.#stdout.off('error', this.#onLeft)
    if (this.#timer !== null) clearInterval(this.#timer)
  }
}

function isPipe(fd: number): boolean {
  return process.platform === 'linux' && fstatSync(fd).isFIFO()
}

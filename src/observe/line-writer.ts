import { writeSync } from 'node:fs'

/** How often and how long a pipe is waited for whose reader has fallen behind. */
const MAX_TRIES = 100
const TRY_MS = 10

/**
 * Writes lines to a file descriptor, at once. A line that it does not take, because the disk is full or its reader is
 * gone, is lost: no request is worth less than its log line. The next one is tried again.
 */
export class LineWriter {
  readonly #fd: number
  /** The last line broke off in the middle. */
  #isTorn = false
  /** The last line was waited for in vain: the next one is not. */
  #isStuck = false

  constructor(fd: number) {
    this.#fd = fd
  }

  /** Never throws. */
  write(line: string): void {
    const bytes = Buffer.from(this.#isTorn ? `\n${line}` : line)
    let written = 0
    try {
      while (written < bytes.byteLength) written += this.#writeSome(bytes.subarray(written))
      this.#isTorn = false
      this.#isStuck = false
    } catch (error) {
      if (written > 0) this.#isTorn = true
      this.#isStuck = isBusy(error)
    }
  }

  #writeSome(bytes: Buffer): number {
    for (let tries = 1; ; tries++) {
      try {
        return writeSync(this.#fd, bytes)
      } catch (error) {
        if (!isBusy(error) || this.#isStuck || tries >= MAX_TRIES) throw error
        Atomics.wait(SLEEPER, 0, 0, TRY_MS)
      }
    }
  }
}

const SLEEPER = new Int32Array(new SharedArrayBuffer(4))

/** Somebody who shares the pipe has made it one that does not wait. */
function isBusy(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'EAGAIN'
}

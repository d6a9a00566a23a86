import { unlessAborted } from '../../shared/errors.ts'

/** A key's fetches; those that wait are in order of arrival. */
interface Line {
  held: number
  readonly waiting: Set<() => void>
}

/**
 * A key holds at most half the slots, so that its slow hosts leave room for others. A fetch waits as long
 * as its client.
 */
export class FetchSlots {
  readonly #size: () => number
  /** Keys that hold or wait, in order of turns. Bounded by the requests that are converted, and their attachments. */
  readonly #lines = new Map<string, Line>()
  #held = 0

  constructor(size: () => number) {
    this.#size = size
  }

  /** @throws the signal's reason if it aborts before the fetch begins */
  async run<T>(key: string, signal: AbortSignal, fetch: () => Promise<T>): Promise<T> {
    const line = await this.#enter(key, signal)
    try {
      return await fetch()
    } finally {
      line.held -= 1
      this.#held -= 1
      this.#forget(key, line)
      this.#letIn()
    }
  }

  async #enter(key: string, signal: AbortSignal): Promise<Line> {
    signal.throwIfAborted()
    const line = this.#lines.get(key) ?? { held: 0, waiting: new Set() }
    this.#lines.set(key, line)
    const { promise, resolve } = Promise.withResolvers<void>()
    line.waiting.add(resolve)
    this.#letIn()
    await unlessAborted(promise, signal, () => {
      line.waiting.delete(resolve)
      this.#forget(key, line)
    })
    return line
  }

  #letIn(): void {
    for (let next = this.#next(); next !== null; next = this.#next()) {
      const [key, line] = next
      const [enter] = line.waiting
      if (enter === undefined) return
      line.waiting.delete(enter)
      line.held += 1
      this.#held += 1
      this.#lines.delete(key) // to the end of the keys that wait
      this.#lines.set(key, line)
      enter()
    }
  }

  #next(): readonly [string, Line] | null {
    const size = this.#size()
    if (this.#held >= size) return null
    const most = Math.max(1, Math.floor(size / 2))
    let next: readonly [string, Line] | null = null
    for (const entry of this.#lines) {
      const [, { waiting, held }] = entry
      const isNext = held < (next?.[1].held ?? most)
      if (waiting.size > 0 && isNext) next = entry
    }
    return next
  }

  #forget(key: string, line: Line): void {
    if (line.held === 0 && line.waiting.size === 0) this.#lines.delete(key)
  }
}

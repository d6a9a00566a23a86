import type { Lane } from './thread-lane.ts'
import { type JobMark, spentOn, threadOf } from './transform-job.ts'

export interface JobLimitOptions {
  readonly piscina: Pick<Lane, 'threads'>
  readonly mark: JobMark
  /** CPU milliseconds. */
  readonly maxMs: number
  /** Asked every few milliseconds whether the job has taken too much of something else. */
  readonly isTooMuch?: ((piscina: Pick<Lane, 'threads'>) => Promise<boolean>) | undefined
  readonly onTooMuch: () => void
}

/** Factor by which a job may take longer by the clock. */
const BUSY_MACHINE = 5
/** Longest start of a thread; 30 ms are usual. */
const START_MS = 30_000
/** Shortest interval of looks: unpacking fills some hundred megabytes a second. */
const LOOK_MS = 10

/** Counts CPU time, as time by the clock includes waits for a busy CPU; that is only the last bound. */
export class JobLimit implements Disposable {
  readonly #options: JobLimitOptions
  readonly #last: NodeJS.Timeout
  #next: NodeJS.Timeout | undefined
  #isOver = false

  constructor(options: JobLimitOptions) {
    const { maxMs } = options
    this.#options = options
    this.#last = setTimeout(() => this.#end(), START_MS + maxMs * BUSY_MACHINE)
    this.#lookIn(maxMs)
  }

  [Symbol.dispose](): void {
    this.#isOver = true
    clearTimeout(this.#last)
    clearTimeout(this.#next)
  }

  #end(): void {
    this[Symbol.dispose]()
    this.#options.onTooMuch()
  }

  #lookIn(ms: number): void {
    const waitMs = this.#options.isTooMuch === undefined ? Math.max(LOOK_MS, ms) : LOOK_MS
    this.#next = setTimeout(() => void this.#look(), waitMs) // cannot reject
  }

  async #look(): Promise<void> {
    const { piscina, maxMs, isTooMuch } = this.#options
    const spentMs = await this.#spentMs()
    const isTooMuchNow = spentMs >= maxMs || (await isTooMuch?.(piscina)) === true
    if (this.#isOver) return
    if (isTooMuchNow) this.#end()
    else this.#lookIn(maxMs - spentMs) // sooner it cannot have spent the rest
  }

  async #spentMs(): Promise<number> {
    const { piscina, mark } = this.#options
    const thread = piscina.threads.find((one) => one.threadId === threadOf(mark))
    // A thread that ends has no figures.
    const usage = await thread?.cpuUsage().catch(() => null)
    return usage ? spentOn(mark, usage) : 0
  }
}

import type { Lane } from './thread-lane.ts'
import { type JobMark, spentOn, threadOf } from './transform-job.ts'

export interface CpuLimitOptions {
  readonly piscina: Pick<Lane, 'threads'>
  readonly mark: JobMark
  readonly maxMs: number
  readonly onTooMuch: () => void
}

/** Factor by which a job may take longer by the clock. */
const BUSY_MACHINE = 5
/** Longest start of a thread; 30 ms are usual. */
const START_MS = 30_000
const LEAST_LOOK_MS = 10

/** Counts CPU time, as time by the clock includes waits for a busy CPU; that is only the last bound. */
export class CpuLimit implements Disposable {
  readonly #options: CpuLimitOptions
  readonly #last: NodeJS.Timeout
  #next: NodeJS.Timeout | undefined
  #isOver = false

  constructor(options: CpuLimitOptions) {
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
    this.#next = setTimeout(() => void this.#look(), Math.max(LEAST_LOOK_MS, ms)) // cannot reject
  }

  async #look(): Promise<void> {
    const { maxMs } = this.#options
    const spentMs = await this.#spentMs()
    if (this.#isOver) return
    if (spentMs >= maxMs) this.#end()
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

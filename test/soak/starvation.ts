import { CoreWaits } from '../bench/core-waits.ts'

const LOOK_MS = 500

/** For how long some thread of these processes could have run and had no core: all together stand still then. */
export class Starvation {
  readonly #waits: readonly CoreWaits[]
  readonly #timer: NodeJS.Timeout
  #totalMs = 0

  constructor(pids: readonly number[]) {
    this.#waits = pids.map((pid) => new CoreWaits(pid))
    this.#timer = setInterval(() => this.#look(), LOOK_MS).unref()
  }

  /** Since the start; of those that wait at once, the longest counts. */
  totalMs(): number {
    this.#look()
    return this.#totalMs
  }

  close(): void {
    clearInterval(this.#timer)
    for (const waits of this.#waits) waits.close()
  }

  #look(): void {
    this.#totalMs += Math.max(...this.#waits.map((waits) => waits.takeLongestMs()))
  }
}

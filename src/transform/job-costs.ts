/** Number of jobs of which the cheapest predicts the next: a busy machine or a cold start spoils some. */
const LAST_JOBS = 4
/** Smaller bodies count as this large, since every job has a fixed cost. */
const LEAST_BYTES = 8 * 1024
const MAX_KEYS = 64

export class JobCosts {
  /** Milliseconds per byte, newest last. Bounded by MAX_KEYS and LAST_JOBS. */
  readonly #last = new Map<string, readonly number[]>()

  note(key: string, bytes: number, costMs: number): void {
    const last = [...(this.#last.get(key) ?? []), costMs / counted(bytes)].slice(-LAST_JOBS)
    this.#last.delete(key) // so that the newest stands last
    this.#last.set(key, last)
    const [oldest] = this.#last.keys()
    if (this.#last.size > MAX_KEYS && oldest !== undefined) this.#last.delete(oldest)
  }

  /** Milliseconds; 0 if too little is known of the key. */
  expected(key: string, bytes: number): number {
    const last = this.#last.get(key) ?? []
    return last.length < LAST_JOBS ? 0 : Math.min(...last) * counted(bytes)
  }
}

function counted(bytes: number): number {
  return Math.max(LEAST_BYTES, bytes)
}

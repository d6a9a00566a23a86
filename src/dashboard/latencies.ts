import type { Latency, Quantiles } from './feed.ts'

/** Number of answers kept; beyond that the newest of the window. */
const SAMPLES = 1_024
const WINDOW_MS = 300_000

/** Times that answers took lately, in milliseconds of a clock that never goes back. */
export class Latencies {
  /** Rings. Bounded by SAMPLES. */
  readonly #at = new Float64Array(SAMPLES)
  readonly #firstMs = new Float32Array(SAMPLES)
  readonly #totalMs = new Float32Array(SAMPLES)
  #count = 0

  add(at: number, firstMs: number, totalMs: number): void {
    const slot = this.#count++ % SAMPLES
    this.#at[slot] = at
    this.#firstMs[slot] = firstMs
    this.#totalMs[slot] = totalMs
  }

  at(now: number): Latency {
    let samples = 0
    const known = Math.min(this.#count, SAMPLES)
    // Those of the window are the newest.
    while (samples < known && now - this.#timeOf(samples) <= WINDOW_MS) samples++
    return {
      windowMs: WINDOW_MS,
      samples,
      firstMs: this.#quantiles(this.#firstMs, samples),
      totalMs: this.#quantiles(this.#totalMs, samples)
    }
  }

  /** Time of an answer, counted back from the newest. */
  #timeOf(back: number): number {
    return this.#at[(this.#count - 1 - back) % SAMPLES] ?? 0
  }

  #quantiles(ring: Float32Array, samples: number): Quantiles | null {
    if (samples === 0) return null
    const values = new Float32Array(samples)
    for (let back = 0; back < samples; back++) {
      values[back] = ring[(this.#count - 1 - back) % SAMPLES] ?? 0
    }
    values.sort()
    return { p50: quantile(values, 0.5), p95: quantile(values, 0.95) }
  }
}

/** The smallest value that so large a part of all does not exceed. `sorted` is not empty. */
function quantile(sorted: Float32Array, part: number): number {
  return Math.round(sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0)
}

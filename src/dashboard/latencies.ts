import type { Latency, Quantiles } from './feed.ts'

const SAMPLES = 1_024
const WINDOW_MS = 300_000

/** Recent answer times. Times are monotonic ms. */
export class Latencies {
  /** Ring buffers. Bounded by SAMPLES. */
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
    while (samples < known && now - this.#timeOf(samples) <= WINDOW_MS) samples++
    return {
      firstMs: this.#quantiles(this.#firstMs, samples),
      totalMs: this.#quantiles(this.#totalMs, samples)
    }
  }

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

/** Nearest-rank quantile. `sorted` is not empty. */
function quantile(sorted: Float32Array, part: number): number {
  return Math.round(sorted[Math.max(0, Math.ceil(part * sorted.length) - 1)] ?? 0)
}

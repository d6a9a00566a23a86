import { MICROS_PER_CREDIT } from './key.ts'

/** A request as far as its price is concerned. */
export interface PricedRequest {
  /** The upstream's id of the model. */
  readonly model: string
  readonly inputTokens: number
}

/** Models that are remembered; the upstream has some twenty. */
const MAX_MODELS = 64
/** An answer that cost more is no measure for others: a fault of the upstream must not lock keys out. */
const MAX_ESTIMATE = 100 * MICROS_PER_CREDIT
/** Nor is one that cost so many times what was thought: it may be the only one. What is dear for good is learnt by a few. */
const MAX_GROWTH = 8
/** How fast the memory of a dear request fades with each cheaper one of its size. */
const FADING = 0.1

/**
 * How many credits a request may cost, at most, as far as can be told: what the dearest of about its size has cost lately.
 * Sizes are told apart by powers of two, in thousands of tokens; of a size that was not seen yet the price is taken to
 * grow with the size. Amounts are micro-credits.
 */
export class CostEstimates {
  /** By model, and by size. The least recently learnt model first. Bounded by MAX_MODELS and the sizes that numbers have. */
  readonly #costs = new Map<string, Map<number, number>>()

  /** `rate` is the model's price beside others', which is all that is known of it at first. At least one credit. */
  estimate(request: PricedRequest, rate: number): number {
    const learnt = this.#learntOf(request) ?? rate * MICROS_PER_CREDIT
    return Math.ceil(Math.min(MAX_ESTIMATE, Math.max(MICROS_PER_CREDIT, learnt)))
  }

  learn(request: PricedRequest, cost: number): void {
    const { model } = request
    const costs = this.#costs.get(model) ?? new Map<number, number>()
    this.#costs.delete(model)
    this.#costs.set(model, costs)
    const [oldest] = this.#costs.keys()
    if (this.#costs.size > MAX_MODELS && oldest !== undefined) this.#costs.delete(oldest)
    const size = sizeOf(request)
    const thought = Math.max(MICROS_PER_CREDIT, this.#learntOf(request) ?? 0)
    const lesson = Math.min(cost, thought * MAX_GROWTH, MAX_ESTIMATE)
    const before = costs.get(size) ?? 0
    costs.set(size, Math.max(lesson, before - (before - lesson) * FADING))
  }

  #learntOf(request: PricedRequest): number | null {
    const size = sizeOf(request)
    let nearest: readonly [size: number, cost: number] | null = null
    for (const known of this.#costs.get(request.model) ?? []) {
      if (nearest === null || Math.abs(known[0] - size) < Math.abs(nearest[0] - size))
        nearest = known
    }
    if (nearest === null) return null
    const [learntSize, cost] = nearest
    return cost * 2 ** Math.max(0, size - learntSize) // a small one may be as dear as a large one
  }
}

function sizeOf({ inputTokens }: PricedRequest): number {
  return Math.max(0, Math.ceil(Math.log2(Math.max(1, inputTokens) / 1000)))
}

import { MICROS_PER_CREDIT } from './key.ts'

/** A request as far as its price is concerned. */
export interface PricedRequest {
  /** The upstream's id of the model. */
  readonly model: string
  readonly inputTokens: number
}

/** What an answer has cost, in micro-credits. `at` is epoch ms. */
export type PriceLesson = readonly [at: number, credits: number]

/** What answers of one model to requests of one size have cost lately, the oldest first. */
export interface PriceLessons {
  readonly model: string
  readonly size: number
  readonly lessons: readonly PriceLesson[]
}

/** What a request is going to cost, in micro-credits. */
export interface Estimate {
  readonly credits: number
  /** Nothing is known of the model but what its maker lists. */
  readonly isUnknown: boolean
}

/** Models that are remembered; the upstream has some twenty. */
const MAX_MODELS = 64
/** Sizes beyond two to the power of this, in thousands of tokens, count as this. */
const MAX_SIZE = 12
/** Lessons of one model and size. */
const MAX_LESSONS = 32
/** Lessons older than this count as one, their median: an expensive hour does not price a whole month. */
const FRESH_MS = 86_400_000
const FORGOTTEN_MS = 30 * FRESH_MS
/** Among so many lessons the highest is left out: a single outlier teaches nothing. */
const MIN_LESSONS = 3
/** The first lessons of a model are believed up to this many times its listed price. */
const PLAUSIBLE = 8
/** A request of a size that was not seen yet costs at most so many times the median of the next smaller one that was. */
const MAX_GROWTH = 4
const HIGH = 0.9
/** No answer is believed to cost more: a thousand of them still add up exactly. */
const MAX_CREDITS = 1_000_000 * MICROS_PER_CREDIT

/**
 * The prices that answers have shown, by model and by size of the request. The primary has the table, and workers copies
 * of it. A request is estimated at a high quantile of what requests like it have cost in the last day.
 */
export class PriceTable {
  /** By model, and by size. The least recently learnt model first. Bounded by MAX_MODELS and MAX_SIZE. */
  readonly #models = new Map<string, Map<number, readonly PriceLesson[]>>()

  /** Takes in what an answer has cost, and returns the lessons that this changes. */
  learn({ model, inputTokens }: PricedRequest, credits: number, now: number): PriceLessons {
    const size = sizeOf(inputTokens)
    const cost = Math.max(0, Math.min(MAX_CREDITS, credits))
    const before = this.#models.get(model)?.get(size) ?? []
    const lessons = [...before, [now, cost] as const].slice(-MAX_LESSONS)
    this.adopt({ model, size, lessons })
    return { model, size, lessons }
  }

  /** Takes over what the primary, or the book, says of a model and size. */
  adopt({ model, size, lessons }: PriceLessons): void {
    const sizes = this.#models.get(model) ?? new Map<number, readonly PriceLesson[]>()
    this.#models.delete(model)
    this.#models.set(model, sizes)
    const [oldest] = this.#models.keys()
    if (this.#models.size > MAX_MODELS && oldest !== undefined) this.#models.delete(oldest)
    sizes.set(Math.min(MAX_SIZE, size), lessons)
  }

  all(): readonly PriceLessons[] {
    return [...this.#models].flatMap(([model, sizes]) =>
      [...sizes].map(([size, lessons]) => ({ model, size, lessons }))
    )
  }

  /** `listed` is what its maker says that a request of the model costs, in micro-credits. */
  estimate({ model, inputTokens }: PricedRequest, listed: number, now: number): Estimate {
    const size = sizeOf(inputTokens)
    let nearest: { readonly size: number; readonly figures: Figures } | null = null
    for (const [known, lessons] of this.#models.get(model) ?? []) {
      const figures = figuresOf(lessons, now)
      if (figures === null || !isBelieved(figures, listed)) continue
      if (nearest !== null && Math.abs(nearest.size - size) <= Math.abs(known - size)) continue
      nearest = { size: known, figures }
    }
    if (nearest === null) return { credits: Math.ceil(listed), isUnknown: true }
    const { high, median } = nearest.figures
    if (nearest.size === size) return { credits: Math.ceil(high), isUnknown: false }
    const growth = Math.min(MAX_GROWTH, 2 ** Math.max(0, size - nearest.size))
    return { credits: Math.ceil(Math.max(listed, median * growth)), isUnknown: false }
  }
}

/** Returns the size of a request: sizes are powers of two, in thousands of tokens. */
export function sizeOf(inputTokens: number): number {
  const size = Math.ceil(Math.log2(Math.max(1, inputTokens) / 1000))
  return Math.min(MAX_SIZE, Math.max(0, size))
}

interface Figures {
  readonly count: number
  readonly median: number
  readonly high: number
}

/** `null` where nothing is known any more. */
function figuresOf(lessons: readonly PriceLesson[], now: number): Figures | null {
  const isYounger = (ms: number) => (lesson: PriceLesson) => Math.abs(now - lesson[0]) < ms
  const fresh = lessons.filter(isYounger(FRESH_MS))
  const costs = (fresh.length > 0 ? fresh : lessons.filter(isYounger(FORGOTTEN_MS)))
    .map(([, credits]) => credits)
    .toSorted((a, b) => a - b)
  const count = costs.length
  if (count === 0) return null
  const median = costs[Math.floor((count - 1) / 2)] ?? 0
  if (fresh.length === 0) return { count, median, high: median }
  const last = count < MIN_LESSONS ? count - 1 : Math.min(count - 2, Math.ceil(HIGH * count) - 1)
  return { count, median, high: costs[last] ?? 0 }
}

function isBelieved({ count, high }: Figures, listed: number): boolean {
  return count >= MIN_LESSONS || high <= PLAUSIBLE * listed
}

import { MICROS_PER_CREDIT } from './key.ts'

/** A request as far as its price is concerned. */
export interface PricedRequest {
  /** The upstream's id of the model. */
  readonly model: string
  readonly inputTokens: number
}

/** A request, and how long its answer became. */
export interface PricedAnswer extends PricedRequest {
  /** Local estimate; missing if the tokens were not counted. */
  readonly outputTokens?: number
}

/** Cost of an answer, in micro-credits. `at` is epoch ms; `weight` is that of its tokens, 0 or missing where that is unknown. */
export type PriceLesson = readonly [at: number, credits: number, weight?: number]

/** Recent costs of answers of one model to requests of one size, the oldest first. */
export interface PriceLessons {
  readonly model: string
  readonly size: number
  readonly lessons: readonly PriceLesson[]
}

/** Expected cost of a request, in micro-credits. */
export interface Estimate {
  readonly credits: number
  /** No answer to a request of about this size has shown its price: `credits` is but a guess. */
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
/**
 * A request of a size that was not seen yet costs at most two to the power of this times the median of the next smaller one
 * that was. What is larger still may cost anything.
 */
const MAX_STEPS = 2
const HIGH = 0.9
/** Cost of a token of the answer, in tokens of the request (kiro-protocol §7.5). */
const OUTPUT_WEIGHT = 6.66
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
  learn(answer: PricedAnswer, credits: number, now: number): PriceLessons {
    const { model, inputTokens } = answer
    const size = sizeOf(inputTokens)
    const cost = Math.max(0, Math.min(MAX_CREDITS, credits))
    const before = this.#models.get(model)?.get(size) ?? []
    const lesson = [now, cost, weightOf(answer)] as const
    const lessons = [...before, lesson].slice(-MAX_LESSONS)
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

  /** Adds what was learnt before this was known, and returns both. */
  merge({ model, size, lessons }: PriceLessons): PriceLessons {
    const known = this.#models.get(model)?.get(size) ?? []
    const told = new Set(lessons.map(String))
    const both = [...lessons, ...known.filter((lesson) => !told.has(String(lesson)))]
    const merged = both.toSorted(([at], [other]) => at - other).slice(-MAX_LESSONS)
    this.adopt({ model, size, lessons: merged })
    return { model, size, lessons: merged }
  }

  all(): readonly PriceLessons[] {
    return [...this.#models].flatMap(([model, sizes]) =>
      [...sizes].map(([size, lessons]) => ({ model, size, lessons }))
    )
  }

  /** `listed` is what its maker says that a request of the model costs, in micro-credits. */
  estimate({ model, inputTokens }: PricedRequest, listed: number, now: number): Estimate {
    const size = sizeOf(inputTokens)
    const nearest = this.#nearest({ model, inputTokens }, listed, now)
    if (nearest === null) return { credits: Math.ceil(listed), isUnknown: true }
    const { high, median } = nearest.figures
    if (nearest.size === size) return { credits: Math.ceil(high), isUnknown: false }
    const steps = size - nearest.size
    // A long question says little of a short one, whose price may be all in its answer.
    if (steps < 0) return { credits: Math.ceil(median * 2 ** steps), isUnknown: true }
    const credits = Math.ceil(Math.max(listed, median * 2 ** Math.min(MAX_STEPS, steps)))
    return { credits, isUnknown: steps > MAX_STEPS }
  }

  /**
   * Returns the cost of an answer of this size by the learnt price of a token, in micro-credits; `null` without one.
   * For answers that were not metered: at the same high quantile as an estimate, so that leaving before the metering
   * does not pay.
   */
  measure(answer: PricedAnswer, listed: number, now: number): number | null {
    const { lessons = [], isFresh } = this.#nearest(answer, listed, now)?.figures ?? {}
    const rates = lessons
      .flatMap(([, credits, weight = 0]) => (weight > 0 ? credits / weight : []))
      .toSorted((a, b) => a - b)
    const rate = isFresh === true ? highOf(rates) : medianOf(rates)
    return rate === null ? null : Math.min(MAX_CREDITS, Math.round(rate * weightOf(answer)))
  }

  /** True if enough such requests were seen lately that one more answer changes nothing. */
  isKnown({ model, inputTokens }: PricedRequest, now: number): boolean {
    const lessons = this.#models.get(model)?.get(sizeOf(inputTokens))
    const [at] = lessons?.at(-MIN_LESSONS) ?? []
    return at !== undefined && Math.abs(now - at) < FRESH_MS
  }

  #nearest({ model, inputTokens }: PricedRequest, listed: number, now: number): Nearest | null {
    const size = sizeOf(inputTokens)
    let nearest: Nearest | null = null
    for (const [known, lessons] of this.#models.get(model) ?? []) {
      const figures = figuresOf(lessons, now)
      if (figures === null || !isBelieved(figures, listed)) continue
      if (nearest !== null && Math.abs(nearest.size - size) <= Math.abs(known - size)) continue
      nearest = { size: known, figures }
    }
    return nearest
  }
}

/** Returns the size of a request: sizes are powers of two, in thousands of tokens. */
export function sizeOf(inputTokens: number): number {
  const size = Math.ceil(Math.log2(Math.max(1, inputTokens) / 1000))
  return Math.min(MAX_SIZE, Math.max(0, size))
}

/** Returns the weight of an answer's tokens, in tokens of its request; 0 if they were not counted. */
function weightOf({ inputTokens, outputTokens }: PricedAnswer): number {
  if (outputTokens === undefined) return 0
  return Math.max(1, Math.round(inputTokens + OUTPUT_WEIGHT * outputTokens))
}

interface Nearest {
  readonly size: number
  readonly figures: Figures
}

interface Figures {
  readonly count: number
  readonly median: number
  readonly high: number
  /** Lessons that count. */
  readonly lessons: readonly PriceLesson[]
  readonly isFresh: boolean
}

/** `null` where nothing is known any more. */
function figuresOf(lessons: readonly PriceLesson[], now: number): Figures | null {
  const isYounger = (ms: number) => (lesson: PriceLesson) => Math.abs(now - lesson[0]) < ms
  const fresh = lessons.filter(isYounger(FRESH_MS))
  const isFresh = fresh.length > 0
  const counting = isFresh ? fresh : lessons.filter(isYounger(FORGOTTEN_MS))
  const costs = counting.map(([, credits]) => credits).toSorted((a, b) => a - b)
  const median = medianOf(costs)
  const high = isFresh ? highOf(costs) : median
  if (median === null || high === null) return null
  return { count: costs.length, median, high, lessons: counting, isFresh }
}

/** Leaves the highest of some out: a single outlier teaches nothing. `null` where there is none, like the next. */
function highOf(sorted: readonly number[]): number | null {
  const count = sorted.length
  const last = count < MIN_LESSONS ? count - 1 : Math.min(count - 2, Math.ceil(HIGH * count) - 1)
  return sorted[last] ?? null
}

function medianOf(sorted: readonly number[]): number | null {
  return sorted[Math.floor((sorted.length - 1) / 2)] ?? null
}

function isBelieved({ count, high }: Figures, listed: number): boolean {
  return count >= MIN_LESSONS || high <= PLAUSIBLE * listed
}

import { setNewest } from '../shared/newest.ts'
import { MICROS_PER_CREDIT } from './key.ts'

export interface PricedRequest {
  readonly model: string
  readonly inputTokens: number
}

export interface PricedAnswer extends PricedRequest {
  /** Local estimate; missing if not counted. */
  readonly outputTokens?: number
}

/** Cost of one answer, in micro-credits. */
export interface PriceTold extends PricedAnswer {
  readonly credits: number
}

/** Cost of an answer in micro-credits, at epoch ms. `weight`: of its tokens, 0 or missing if unknown. */
export type PriceLesson = readonly [at: number, credits: number, weight?: number]

export interface PriceLessons {
  readonly model: string
  readonly size: number
  readonly lessons: readonly PriceLesson[]
}

/** Micro-credits. */
export interface Estimate {
  readonly credits: number
  /** No answer to a request of this size has shown its price: `credits` is a guess. */
  readonly isUnknown: boolean
}

const MAX_MODELS = 64
/** Power of two, in thousands of tokens; larger sizes count as this. */
const MAX_SIZE = 12
const MAX_LESSONS = 32
/** Older lessons count as one, their median: an expensive hour does not price a whole month. */
const FRESH_MS = 86_400_000
const FORGOTTEN_MS = 30 * FRESH_MS
/** Number of lessons above which the highest is ignored, as an outlier. */
const MIN_LESSONS = 3
/** A model's first lessons are believed up to this many times its listed price. */
const PLAUSIBLE = 8
/** A request of a new size costs at most two to the power of this times the next smaller known median. */
const MAX_STEPS = 2
const HIGH = 0.9
/** Tokens of a request per token of the answer (kiro-protocol §7.5). */
const OUTPUT_WEIGHT = 6.66
/** Highest believable cost: a thousand of them still add up exactly. */
const MAX_CREDITS = 1_000_000 * MICROS_PER_CREDIT

/** The primary has the table, workers have copies. Estimates are a high quantile of the last day's costs. */
export class PriceTable {
  /** Lessons by model and size, the model learnt longest ago first. Bounded by MAX_MODELS and MAX_SIZE. */
  readonly #models = new Map<string, Map<number, readonly PriceLesson[]>>()

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

  /** Takes over the primary's, or the book's, lessons. */
  adopt({ model, size, lessons }: PriceLessons): void {
    const sizes = this.#models.get(model) ?? new Map<number, readonly PriceLesson[]>()
    setNewest(this.#models, MAX_MODELS, model, sizes)
    sizes.set(Math.min(MAX_SIZE, size), lessons)
  }

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

  /** `listed`: the listed price of a request, in micro-credits. */
  estimate({ model, inputTokens }: PricedRequest, listed: number, now: number): Estimate {
    const size = sizeOf(inputTokens)
    const nearest = this.#nearest({ model, inputTokens }, listed, now)
    if (nearest === null) return { credits: Math.ceil(listed), isUnknown: true }
    const { high, median } = nearest.figures
    if (nearest.size === size) return { credits: Math.ceil(high), isUnknown: false }
    const steps = size - nearest.size
    // A long request says little about a short one, whose price may be all in its answer.
    if (steps < 0) return { credits: Math.ceil(median * 2 ** steps), isUnknown: true }
    const credits = Math.ceil(Math.max(listed, median * 2 ** Math.min(MAX_STEPS, steps)))
    return { credits, isUnknown: steps > MAX_STEPS }
  }

  /**
   * Cost by the learnt token price, or `null`. The same high quantile as an estimate, so that leaving
   * before the metering does not pay.
   */
  measure(answer: PricedAnswer, listed: number, now: number): number | null {
    const { lessons = [], isFresh } = this.#nearest(answer, listed, now)?.figures ?? {}
    const rates = lessons
      .flatMap(([, credits, weight = 0]) => (weight > 0 ? credits / weight : []))
      .toSorted((a, b) => a - b)
    const rate = isFresh === true ? highOf(rates) : medianOf(rates)
    return rate === null ? null : Math.min(MAX_CREDITS, Math.round(rate * weightOf(answer)))
  }

  /** True if one more answer would change nothing. */
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

/** Whole answers of a model without metering after which none is expected. */
const MAX_UNMETERED = 3
/** Models of which they are counted. */
const MAX_UNMETERED_MODELS = 64

/** Way of lessons to the primary. */
interface PricePrimary {
  send(message: { readonly type: 'price.lessons'; readonly lessons: readonly PriceTold[] }): unknown
}

/** A worker's copy of the prices. Its own lessons count at once; the primary orders those of all workers. */
export class WorkerPrices {
  readonly #table = new PriceTable()
  readonly #primary: PricePrimary
  /** Bounded by the answers that end within 150 ms. */
  #untold: PriceTold[] = []
  /** Waiters for a model's price. Bounded by the requests that are under way. */
  readonly #watchers = new Map<string, Set<() => void>>()
  /** Unmetered whole answers in a row, by model. Bounded by MAX_UNMETERED_MODELS. */
  readonly #unmetered = new Map<string, number>()

  constructor(primary: PricePrimary) {
    this.#primary = primary
  }

  estimate(request: PricedRequest, listed: number): Estimate {
    return this.#table.estimate(request, listed, Date.now())
  }

  measure(answer: PricedAnswer, listed: number): number | null {
    return this.#table.measure(answer, listed, Date.now())
  }

  /** Learns from an answer and wakes waiters. The primary hears of it before anything else. */
  learn(answer: PricedAnswer, credits: number): void {
    this.#unmetered.delete(answer.model)
    this.#take(answer, credits)
  }

  /**
   * If a model's answers are usually unmetered, the listed price is assumed: keys would otherwise ask one
   * question at a time for ever.
   */
  learnUnmetered({ model, inputTokens }: PricedAnswer, listed: number): void {
    const request = { model, inputTokens }
    if (!this.estimate(request, listed).isUnknown) return
    const count = Math.min(MAX_UNMETERED, (this.#unmetered.get(model) ?? 0) + 1)
    setNewest(this.#unmetered, MAX_UNMETERED_MODELS, model, count)
    if (count === MAX_UNMETERED) this.#take(request, listed)
  }

  #take(answer: PricedAnswer, credits: number): void {
    const now = Date.now()
    const isKnown = this.#table.isKnown(answer, now)
    this.#table.learn(answer, credits, now)
    this.#untold.push({ ...answer, credits })
    if (!isKnown) this.tell()
    this.#wake(answer.model)
  }

  tell(): void {
    if (this.#untold.length === 0) return
    this.#primary.send({ type: 'price.lessons', lessons: this.#untold })
    this.#untold = []
  }

  onLearnt({ model, size, lessons }: PriceLessons): void {
    this.#table.adopt({ model, size, lessons })
    this.#wake(model)
  }

  /** Calls `onLearnt` for each lesson of a model, in the order of watching. Returns the end of that. */
  watch(model: string, onLearnt: () => void): () => void {
    const watchers = this.#watchers.get(model) ?? new Set<() => void>()
    this.#watchers.set(model, watchers.add(onLearnt))
    return () => {
      watchers.delete(onLearnt)
      if (watchers.size === 0) this.#watchers.delete(model)
    }
  }

  #wake(model: string): void {
    for (const onLearnt of this.#watchers.get(model) ?? []) onLearnt()
  }
}

/** Sizes are powers of two, in thousands of tokens. */
export function sizeOf(inputTokens: number): number {
  const size = Math.ceil(Math.log2(Math.max(1, inputTokens) / 1000))
  return Math.min(MAX_SIZE, Math.max(0, size))
}

/** Answer tokens in tokens of the request; 0 if not counted. */
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
  readonly lessons: readonly PriceLesson[]
  readonly isFresh: boolean
}

/** `null` if nothing is known any more. */
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

/** Ignores the highest of several, as an outlier. `null` without any. */
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

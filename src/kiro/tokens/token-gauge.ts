import { setNewest } from '../../shared/newest.ts'
import { type Checked, jsonReader, Type } from '../../shared/schema-type.ts'
import { type GroupTokens, sumOfGroups, TOKEN_GROUPS } from './request-tokens.ts'
import type { TextScale } from './text-counter.ts'

/*
 * Learns how a model counts from what the upstream measured, as a linear model with a Gaussian belief (recursive least
 * squares, or a Kalman filter that stands still): measured = Σ factor × tokens of a group + hidden prompt. Small requests
 * show the hidden prompt, large ones the factors, and unlike texts tell the factors apart. The belief begins with what
 * the family of the model is known for, so that one answer already corrects what all groups have in common.
 */

const GROUPS = TOKEN_GROUPS.length
/** Place of the upstream's own prompt, in thousands of tokens: it has the size of the factors then. */
const HIDDEN = GROUPS
const SIZE = GROUPS + 1
const THOUSAND = 1000

/** Beliefs before anything is measured: kiro-protocol knows of about 2,000 tokens that no client sent. */
const FIRST_FACTORS = [1, 1, 1, 1, 1, 1, 1, 1, 2]
/** Spread that all kinds of text share: a tokenizer makes more or fewer tokens of all of them. */
const COMMON_SPREAD = 0.15
const TEXT_GROUPS = 4
const FIRST_SPREADS = [0.05, 0.12, 0.25, 0.25, 0.3, 0.8, 0.4, 0.4, 0.5]
/** Whatever is measured, factors stay within these. */
const LEAST = [0.6, 0.5, 0.3, 0.35, 0.1, 0.05, 0, 0, 0]
const MOST = [1.7, 2, 2.5, 2.5, 4, 6, 4, 4, 20]

/** Spread that each measurement adds again, so that the newest hundred or so decide. */
const DRIFT = [0.002, 0.004, 0.008, 0.01, 0.02, 0.05, 0.03, 0.03, 0.02]

/** Tokens, and share of the request, by which the count of a text is wrong even with the right factors. */
const NOISE_TOKENS = 25
const NOISE_SHARE = 0.025

/** Spreads beyond which a measurement moves the belief less the farther it is: one key's odd texts are not those of others. */
const MOST_SURPRISE = 3
/** More surprises than counts that were right, after which the upstream counts in another way: the belief is open again. */
const SURPRISES_OF_CHANGE = 3

/** A measurement that is this far from the count, in ratio and in tokens, is about something else. */
const LEAST_RATIO = 0.4
const MOST_RATIO = 2.5
const FREE_TOKENS = 5_000

const MAX_TOKENS = 100_000_000
const MAX_LESSONS = 1_000_000
const MAX_ERRORS = 64
const MAX_MODEL_CHARS = 256

/** The hidden prompt counts as known once it is this certain. */
const KNOWN_AFTER = 3
const KNOWN_SPREAD = 0.5

const Bounded = Type.Number({ minimum: -1e9, maximum: 1e9 })

const State = Type.Object({
  model: Type.String({ minLength: 1, maxLength: MAX_MODEL_CHARS }),
  factors: Type.Array(Bounded, { minItems: SIZE, maxItems: SIZE }),
  /** Covariance of the factors, row by row. */
  spread: Type.Array(Bounded, { minItems: SIZE * SIZE, maxItems: SIZE * SIZE }),
  lessons: Type.Integer({ minimum: 0, maximum: MAX_LESSONS }),
  surprises: Type.Integer({ minimum: 0, maximum: SURPRISES_OF_CHANGE }),
  /** Errors of the newest counts before they were measured, as a share of what was measured. */
  errors: Type.Array(Type.Number({ minimum: 0, maximum: 1e6 }), { maxItems: MAX_ERRORS })
})

/** Knowledge of one model. Numbers alone: nothing of a conversation is in it. */
export interface GaugeState extends Checked<typeof State> {}

const readState = jsonReader(State)

/** Returns `null` for anything but a state, whose factors are brought within their bounds. */
export function parseGauge(text: string): GaugeState | null {
  const state = readState(text)
  if (state === null) return null
  return { ...state, factors: withinBounds(state.factors), spread: withinPrior(state.spread) }
}

export function newGauge(model: string): GaugeState {
  return {
    model,
    factors: FIRST_FACTORS,
    spread: FIRST_SPREAD,
    lessons: 0,
    surprises: 0,
    errors: []
  }
}

export interface TokenLesson {
  readonly model: string
  /** Request, and answer where it is measured with it. */
  readonly groups: GroupTokens
  /** Tokens, by the upstream. */
  readonly measured: number
  /** Tokens by which that may be off: a percentage has a last digit, and reasoning may be out of sight. */
  readonly within: number
}

export interface TokenCount {
  /** Tokens of the client's own. */
  readonly input: number
  /** Tokens of the upstream's own prompt; `null` while it cannot be told apart. */
  readonly hidden: number | null
  /** Tokens by which 19 of 20 counts are off at most. */
  readonly within: number
}

/** Result of counting a request that its answer needs. Plain data. */
export interface GaugeReading extends Pick<TokenCount, 'hidden' | 'within'> {
  /** Factors of the text's groups. */
  readonly scale: TextScale
  /** Tokens by which `hidden` may be off. */
  readonly hiddenWithin: number
}

const TWO_SPREADS = 2

/** Counts a request. `input` is at least 1. */
export function countBy(gauge: GaugeState, groups: GroupTokens): TokenCount {
  const features = [...groups, 0]
  const input = Math.max(1, Math.round(dot(gauge.factors, features)))
  const along = timesVector(gauge.spread, features)
  const variance = Math.max(0, dot(features, along)) + noiseOf(input, 0)
  return {
    input,
    hidden: hiddenOf(gauge),
    within: Math.ceil(TWO_SPREADS * Math.sqrt(variance))
  }
}

export function readGauge(gauge: GaugeState, { hidden, within }: TokenCount): GaugeReading {
  const { factors, spread } = gauge
  const hiddenSpread = Math.sqrt(Math.max(0, spread[HIDDEN * SIZE + HIDDEN] ?? 0))
  return {
    scale: factors.slice(0, TEXT_GROUPS),
    hidden,
    hiddenWithin: Math.ceil(TWO_SPREADS * hiddenSpread * THOUSAND),
    within
  }
}

/** Tokens of the upstream's own prompt; `null` while they cannot be told apart. */
export function hiddenOf({ factors, spread, lessons }: GaugeState): number | null {
  const variance = spread[HIDDEN * SIZE + HIDDEN] ?? 0
  if (lessons < KNOWN_AFTER || variance > KNOWN_SPREAD ** 2) return null
  return Math.round((factors[HIDDEN] ?? 0) * THOUSAND)
}

/** Returns what is known after a measurement; `null` if nothing follows from it. */
export function learnFrom(gauge: GaugeState, lesson: TokenLesson): GaugeState | null {
  const { groups, measured, within } = lesson
  if (!isCount(measured) || !isCount(within) || groups.length !== GROUPS) return null
  if (!groups.every(isCount) || sumOfGroups(groups) <= 0) return null
  const features = [...groups, THOUSAND]
  const counted = dot(gauge.factors, features)
  const difference = measured - counted
  const ratio = measured / counted
  const isFar = !(ratio >= LEAST_RATIO && ratio <= MOST_RATIO)
  if (isFar && Math.abs(difference) > FREE_TOKENS) return null
  const along = timesVector(gauge.spread, features)
  const variance = Math.max(0, dot(features, along)) + noiseOf(measured, within)
  const limit = MOST_SURPRISE * Math.sqrt(variance)
  const isSurprise = Math.abs(difference) > limit
  const heeded = isSurprise ? limit ** 2 / difference : difference
  const surprises = Math.max(0, gauge.surprises + (isSurprise ? 1 : -1))
  const isChange = surprises >= SURPRISES_OF_CHANGE
  const error = Math.round((Math.abs(difference) / measured) * 1e4) / 1e4
  return {
    model: gauge.model,
    factors: withinBounds(
      gauge.factors.map((factor, at) => factor + ((along[at] ?? 0) * heeded) / variance)
    ),
    spread: isChange ? FIRST_SPREAD : nextSpread(gauge.spread, along, variance),
    lessons: Math.min(MAX_LESSONS, gauge.lessons + 1),
    surprises: isChange ? 0 : surprises,
    errors: [...gauge.errors, Math.min(1e6, error)].slice(-MAX_ERRORS)
  }
}

export interface GaugeErrors {
  /** Shares of what was measured. */
  readonly p50: number
  readonly p95: number
  readonly counts: number
}

/** Errors of the newest counts; `null` if none was measured. */
export function errorsOf({ errors }: Pick<GaugeState, 'errors'>): GaugeErrors | null {
  if (errors.length === 0) return null
  const sorted = errors.toSorted((a, b) => a - b)
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * share) - 1)] ?? 0
  return { p50: at(0.5), p95: at(0.95), counts: errors.length }
}

const MAX_GAUGES = 64

export interface CountedTokens extends TokenCount {
  readonly reading: GaugeReading
}

/** Plain data: it goes from the primary to its workers. */
export interface LearntGauges {
  readonly gauges: readonly GaugeState[]
  /** All others are forgotten: they were learnt of another account. */
  readonly isAll: boolean
}

/** Knowledge of the models of one account. */
export class TokenGauges {
  readonly #maxModels: number
  /** By model. Bounded by `maxModels`. */
  readonly #gauges = new Map<string, GaugeState>()

  constructor(maxModels = MAX_GAUGES) {
    this.#maxModels = maxModels
  }

  count(model: string, groups: GroupTokens): CountedTokens {
    const gauge = this.#gauges.get(model) ?? newGauge(model)
    const count = countBy(gauge, groups)
    return { ...count, reading: readGauge(gauge, count) }
  }

  /** Returns what is known of the model now; `null` if nothing was learnt. */
  learn(lesson: TokenLesson): GaugeState | null {
    const { model } = lesson
    const learnt = learnFrom(this.#gauges.get(model) ?? newGauge(model), lesson)
    if (learnt !== null) this.adopt(learnt)
    return learnt
  }

  adopt(gauge: GaugeState): void {
    setNewest(this.#gauges, this.#maxModels, gauge.model, gauge)
  }

  /** Forgets all but these. */
  replace(gauges: Iterable<GaugeState>): void {
    this.#gauges.clear()
    for (const gauge of gauges) this.adopt(gauge)
  }

  get(model: string): GaugeState | undefined {
    return this.#gauges.get(model)
  }

  all(): readonly GaugeState[] {
    return [...this.#gauges.values()]
  }
}

/** Shortest time between two messages about a model, however many requests end. */
const INTERVAL_MS = 1_000
/** The first lessons are worth more, and are told at once. */
const EAGER_LESSONS = 20
const MAX_TOLD = 64

/** Way of lessons to the primary. */
interface GaugePrimary {
  send(message: TokenLesson & { readonly type: 'calibration.lesson' }): unknown
}

/** Counts requests by what the primary has learnt from all workers, and tells it what the upstream measures. */
export class SharedCalibration extends TokenGauges {
  readonly #primary: GaugePrimary
  readonly #now: () => number
  /** Lessons told of a model, and when the last was. Bounded by MAX_TOLD. */
  readonly #told = new Map<string, { readonly times: number; readonly at: number }>()

  constructor(primary: GaugePrimary, now = () => performance.now()) {
    super()
    this.#primary = primary
    this.#now = now
  }

  /** Leaves learning to the primary: nothing is learnt here. */
  override learn(lesson: TokenLesson): null {
    const { model } = lesson
    if (model.length > MAX_MODEL_CHARS) return null
    const at = this.#now()
    const told = this.#told.get(model) ?? { times: 0, at: -INTERVAL_MS }
    if (told.times >= EAGER_LESSONS && at - told.at < INTERVAL_MS) return null
    setNewest(this.#told, MAX_TOLD, model, { times: told.times + 1, at })
    this.#primary.send({ type: 'calibration.lesson', ...lesson })
    return null
  }

  onLearnt({ gauges, isAll }: LearntGauges): void {
    if (isAll) this.replace(gauges)
    else for (const gauge of gauges) this.adopt(gauge)
  }
}

function isCount(tokens: number): boolean {
  return tokens >= 0 && tokens <= MAX_TOKENS // false for NaN
}

function noiseOf(tokens: number, within: number): number {
  return NOISE_TOKENS ** 2 + (NOISE_SHARE * tokens) ** 2 + within ** 2
}

function dot(a: readonly number[], b: readonly number[]): number {
  let sum = 0
  for (let at = 0; at < b.length; at++) sum += (a[at] ?? 0) * (b[at] ?? 0)
  return sum
}

function timesVector(matrix: readonly number[], vector: readonly number[]): readonly number[] {
  return vector.map((_, row) => dot(matrix.slice(row * SIZE, row * SIZE + SIZE), vector))
}

function nextSpread(
  spread: readonly number[],
  along: readonly number[],
  variance: number
): readonly number[] {
  return withinPrior(
    spread.map((one, at) => {
      const [row, column] = [Math.floor(at / SIZE), at % SIZE]
      const drift = row === column ? (DRIFT[row] ?? 0) ** 2 : 0
      return one - ((along[row] ?? 0) * (along[column] ?? 0)) / variance + drift
    })
  )
}

const FIRST_SPREAD: readonly number[] = Array.from({ length: SIZE * SIZE }, (_, at) => {
  const [row, column] = [Math.floor(at / SIZE), at % SIZE]
  const common = row < TEXT_GROUPS && column < TEXT_GROUPS ? COMMON_SPREAD ** 2 : 0
  return common + (row === column ? (FIRST_SPREADS[row] ?? 0) ** 2 : 0)
})

/** Keeps every factor at most as uncertain as at first, and never certain: then nothing could be learnt. */
function withinPrior(spread: readonly number[]): readonly number[] {
  const scales = Array.from({ length: SIZE }, (_, at) => {
    const [is, most] = [spread[at * SIZE + at] ?? 0, FIRST_SPREAD[at * SIZE + at] ?? 0]
    return is > most ? Math.sqrt(most / is) : 1
  })
  return spread.map((one, at) => {
    const [row, column] = [Math.floor(at / SIZE), at % SIZE]
    const scaled = one * (scales[row] ?? 1) * (scales[column] ?? 1)
    return row === column ? Math.max((DRIFT[row] ?? 0) ** 2, scaled) : scaled
  })
}

function withinBounds(factors: readonly number[]): readonly number[] {
  return factors.map((factor, at) =>
    Math.min(MOST[at] ?? 1, Math.max(LEAST[at] ?? 1, Number.isFinite(factor) ? factor : 1))
  )
}

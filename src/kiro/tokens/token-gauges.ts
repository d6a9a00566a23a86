import { setNewest } from '../../shared/newest.ts'
import type { GroupTokens } from './request-tokens.ts'
import {
  countBy,
  type GaugeReading,
  type GaugeState,
  learnFrom,
  newGauge,
  readGauge,
  type TokenCount,
  type TokenLesson
} from './token-gauge.ts'

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

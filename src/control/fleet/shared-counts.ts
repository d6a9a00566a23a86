import type { GaugeState } from '../../kiro/tokens/token-gauge.ts'
import { parseJsonObject } from '../../shared/json.ts'
import { gaugesIn, type LearntTokens } from '../account/learnt-tokens.ts'
import type { FoundValue, SharedRecords, SharedValue } from './shared-records.ts'

export interface CountsRecord {
  readonly gauges: readonly GaugeState[]
}

export interface SharedCountsOptions {
  readonly tokens: Pick<LearntTokens, 'all' | 'adopt' | 'onChange'>
  readonly hub: Pick<SharedRecords, 'add'>
}

const GAP_MS = 60_000
const MAX_SHARED = 16

/** Shares how models count tokens in a fleet: of each model, what the gateway with the most lessons knows. */
export class SharedCounts implements SharedValue<CountsRecord> {
  readonly name = 'counts'
  readonly gapMs = GAP_MS
  readonly #options: SharedCountsOptions

  constructor(options: SharedCountsOptions) {
    this.#options = options
  }

  start(): void {
    const { tokens, hub } = this.#options
    tokens.onChange(hub.add(this))
  }

  readonly parse = (text: string): CountsRecord | null => {
    const gauges = parseJsonObject(text)?.['gauges']
    return Array.isArray(gauges) ? { gauges: gaugesIn(gauges).slice(-MAX_SHARED) } : null
  }

  /** Bounded by MAX_SHARED models. */
  readonly next = (found: FoundValue<CountsRecord> | null): CountsRecord | null => {
    const there = new Map((found?.value.gauges ?? []).map((gauge) => [gauge.model, gauge]))
    const better = this.#options.tokens
      .all()
      .gauges.slice(-MAX_SHARED) // older ones would take the place of newer ones, in turn without end
      .filter(({ model, lessons }) => lessons > (there.get(model)?.lessons ?? 0))
    if (better.length === 0) return null
    for (const gauge of better) {
      there.delete(gauge.model)
      there.set(gauge.model, gauge)
    }
    const gauges = [...there.values()].slice(-MAX_SHARED)
    const isNews = better.some((gauge) => gauges.includes(gauge))
    return isNews ? { gauges } : null
  }

  readonly onFound = ({ value }: FoundValue<CountsRecord>): void => {
    this.#options.tokens.adopt(value.gauges)
  }
}

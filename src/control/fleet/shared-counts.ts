import type { GaugeState } from '../../kiro/tokens/token-gauge.ts'
import { parseJsonObject } from '../../shared/json.ts'
import { gaugesIn, type LearntTokens } from '../account/learnt-tokens.ts'
import type { SharedValue } from './shared-records.ts'

export interface CountsRecord {
  readonly gauges: readonly GaugeState[]
}

const GAP_MS = 60_000
const MAX_SHARED = 16

/** Returns how models count tokens, as a fleet shares it: of each model, what the gateway with the most lessons knows. */
export function sharedCounts(
  tokens: Pick<LearntTokens, 'all' | 'adopt'>
): SharedValue<CountsRecord> {
  return {
    name: 'counts',
    gapMs: GAP_MS,
    parse: (text) => {
      const gauges = parseJsonObject(text)?.['gauges']
      return Array.isArray(gauges) ? { gauges: gaugesIn(gauges).slice(-MAX_SHARED) } : null
    },
    next: (found) => {
      const there = new Map((found?.value.gauges ?? []).map((gauge) => [gauge.model, gauge]))
      const better = tokens
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
    },
    onFound: ({ value }) => tokens.adopt(value.gauges)
  }
}

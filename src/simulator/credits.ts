import { CREDITS_PER_TOKEN } from '../kiro/models/models.ts'
import type { SimulatedModel } from './models.ts'

/** Cost of an output token in input tokens. */
const OUTPUT_FACTOR = 6.66
/** Cost of a cached token in input tokens. */
const GPT_CACHED = 0.1
/** Above this many tokens, the whole request costs this many times as much. */
const PRICE_STEPS: readonly (readonly [RegExp, tokens: number, factor: number])[] = [
  [/^gpt-/, 272_000, 2],
  [/^claude-haiku-5\.5$/, 100_000, 5]
]
const CLAUDE_CACHED = 0.53
const DECIMALS = 1e6

/** Cost by kiro-protocol §7.5. */
export function creditsOf(
  { modelId, rateMultiplier }: SimulatedModel,
  tokens: Readonly<Record<'input' | 'cached' | 'output', number>>
): number {
  const isGpt = modelId.startsWith('gpt-')
  const cachedFactor = isGpt ? GPT_CACHED : CLAUDE_CACHED
  const weight =
    tokens.input - tokens.cached + cachedFactor * tokens.cached + OUTPUT_FACTOR * tokens.output
  const [, , step = 1] =
    PRICE_STEPS.find(([ids, above]) => ids.test(modelId) && tokens.input > above) ?? []
  return Math.ceil(step * rateMultiplier * CREDITS_PER_TOKEN * weight * DECIMALS) / DECIMALS
}

import type { JsonObject } from '../shared/json.ts'

/** Model as in `ListAvailableModels` (kiro-protocol §7.4). */
export interface SimulatedModel {
  readonly modelId: string
  readonly modelName: string
  readonly description: string
  readonly rateMultiplier: number
  readonly rateUnit: 'Credit'
  readonly tokenLimits: { readonly maxInputTokens: number; readonly maxOutputTokens: number }
  readonly supportedInputTypes: readonly ('TEXT' | 'IMAGE')[]
  readonly promptCaching: JsonObject
  readonly additionalModelRequestFieldsSchema?: JsonObject
}

const MILLION = 1_000_000
const EFFORTS = ['low', 'medium', 'high', 'xhigh', 'max']
const NEWEST = { input: MILLION, output: 128_000, schema: claudeSchema(EFFORTS, 128_000) }
const FIXED = { input: MILLION, output: 64_000, schema: claudeSchema(EFFORTS, 64_000) }
const OLDER = {
  input: MILLION,
  schema: claudeSchema(['low', 'medium', 'high', 'max'], 64_000)
}
const GPT = { input: MILLION, output: 128_000, schema: gptSchema() }

function alwaysThinks(types: readonly string[]): Omit<ModelTraits, 'rate'> {
  return { ...NEWEST, schema: claudeSchema(EFFORTS, 128_000, types) }
}

/** Ids are exact: dashes instead of dots name an unknown model. */
export const MODELS: readonly SimulatedModel[] = [
  model('auto', 'Auto', { rate: 1 }),
  model('claude-opus-5.5', 'Claude Opus 5.5', { rate: 2, ...alwaysThinks(['adaptive']) }),
  model('claude-opus-5', 'Claude Opus 5', { rate: 2.2, ...NEWEST }),
  model('claude-opus-4.8', 'Claude Opus 4.8', { rate: 2.2, ...NEWEST }),
  model('claude-opus-4.7', 'Claude Opus 4.7', { rate: 2.2, ...FIXED }),
  model('claude-opus-4.6', 'Claude Opus 4.6', { rate: 2.2, ...OLDER }),
  model('claude-opus-4.5', 'Claude Opus 4.5', { rate: 2.2 }),
  model('claude-sonnet-5.5', 'Claude Sonnet 5.5', {
    rate: 1.3,
    ...alwaysThinks(['adaptive', 'between_tools'])
  }),
  model('claude-sonnet-5', 'Claude Sonnet 5', { rate: 1.3, ...NEWEST }),
  model('claude-sonnet-4.6', 'Claude Sonnet 4.6', { rate: 1.3, ...OLDER }),
  model('claude-sonnet-4.5', 'Claude Sonnet 4.5', { rate: 1.3 }),
  model('claude-sonnet-4.5-1m', 'Claude Sonnet 4.5 (1M)', { rate: 1.3, input: MILLION }),
  model('claude-sonnet-4', 'Claude Sonnet 4', { rate: 1.3 }),
  model('claude-haiku-5.5', 'Claude Haiku 5.5', { rate: 0.06, ...alwaysThinks(['adaptive']) }),
  model('claude-haiku-4.5', 'Claude Haiku 4.5', { rate: 0.4 }),
  model('claude-fable-5.1', 'Claude Fable 5.1', { rate: 1.3, ...alwaysThinks(['adaptive']) }),
  model('claude-fable-5', 'Claude Fable 5', { rate: 1.3, ...NEWEST }),
  model('gpt-5.6-sol', 'GPT-5.6 Sol', { rate: 4.4, ...GPT }),
  model('gpt-5.6-terra', 'GPT-5.6 Terra', { rate: 2.2, ...GPT }),
  model('gpt-5.6-luna', 'GPT-5.6 Luna', { rate: 1.1, ...GPT }),
  model('deepseek-3.2', 'DeepSeek 3.2', { rate: 0.25, input: 128_000, takesImages: false }),
  model('glm-5', 'GLM 5', { rate: 0.5, input: 128_000, takesImages: false }),
  model('kimi-k3', 'Kimi K3', { rate: 1, input: MILLION }),
  model('minimax-m2.5', 'MiniMax M2.5', { rate: 0.25, takesImages: false }),
  model('qwen3-coder-next', 'Qwen3 Coder Next', { rate: 0.05, input: 256_000, takesImages: false })
]

const HIDDEN_MODELS: readonly SimulatedModel[] = [
  model('CLAUDE_3_7_SONNET_20250219_V1_0', 'Claude 3.7 Sonnet', { rate: 1 })
]

export function simulatedModel(modelId: string): SimulatedModel | undefined {
  return [...MODELS, ...HIDDEN_MODELS].find((one) => one.modelId === modelId)
}

interface ModelTraits {
  readonly rate: number
  readonly input?: number
  readonly output?: number
  readonly takesImages?: boolean
  readonly schema?: JsonObject
}

function model(modelId: string, modelName: string, traits: ModelTraits): SimulatedModel {
  return {
    modelId,
    modelName,
    description: `${modelName}, simulated`,
    rateMultiplier: traits.rate,
    rateUnit: 'Credit',
    tokenLimits: {
      maxInputTokens: traits.input ?? 200_000,
      maxOutputTokens: traits.output ?? 64_000
    },
    supportedInputTypes: traits.takesImages === false ? ['TEXT'] : ['TEXT', 'IMAGE'],
    promptCaching: {
      supportsPromptCaching: modelId.startsWith('claude'),
      maximumCacheCheckpointsPerRequest: 4,
      minimumTokensPerCacheCheckpoint: 1024
    },
    ...(traits.schema === undefined ? {} : { additionalModelRequestFieldsSchema: traits.schema })
  }
}

/** @see kiro-protocol §9.2 */
function claudeSchema(
  efforts: readonly string[],
  maxTokens: number,
  types: readonly string[] = ['adaptive', 'disabled']
): JsonObject {
  return closedObject({
    thinking: closedObject({
      type: { type: 'string', enum: types },
      display: { type: 'string', enum: ['summarized', 'omitted'] }
    }),
    output_config: closedObject({ effort: { type: 'string', enum: efforts } }),
    max_tokens: { type: 'integer', minimum: 1024, maximum: maxTokens }
  })
}

function gptSchema(): JsonObject {
  const efforts = ['none', 'low', 'medium', 'high', 'xhigh', 'max']
  return closedObject({ reasoning: closedObject({ effort: { type: 'string', enum: efforts } }) })
}

function closedObject(properties: JsonObject): JsonObject {
  return { type: 'object', properties, additionalProperties: false }
}

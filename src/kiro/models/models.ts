import {
  asJsonObject,
  type JsonObject,
  shortTextMember,
  textMember,
  isValueDeeper
} from '../../shared/json.ts'

export interface ModelFacts {
  readonly id: string
  readonly name: string
  readonly description?: string
  readonly maxInputTokens: number
  readonly maxOutputTokens?: number
  readonly takesImages: boolean
  /** Cost relative to a model that costs 1; 1 if unknown. */
  readonly rate?: number
  readonly lifecycle?: Lifecycle
  readonly requestFieldsSchema?: Readonly<Record<string, unknown>>
}

/** A retired model is listed and refused. */
export type Lifecycle = 'deprecated' | 'retired'

/** Tokens, for an unknown model (§7.3). */
export const DEFAULT_CONTEXT_WINDOW = 200_000

/** Tokens, for `-1m` variants (§7.3). */
export const LONG_CONTEXT_WINDOW = 1_000_000

export const AUTO_MODEL = 'auto'

/** Models of §7.1 that were served when this list was made, used until the upstream's own list arrives. */
export const BUILT_IN_MODELS: readonly ModelFacts[] = [
  builtIn(AUTO_MODEL, 'Auto', LONG_CONTEXT_WINDOW, 64_000),
  builtIn('claude-opus-5.5', 'Claude Opus 5.5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-opus-5', 'Claude Opus 5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-opus-4.8', 'Claude Opus 4.8', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-opus-4.7', 'Claude Opus 4.7', LONG_CONTEXT_WINDOW, 64_000),
  builtIn('claude-opus-4.6', 'Claude Opus 4.6', LONG_CONTEXT_WINDOW, 64_000),
  builtIn('claude-opus-4.5', 'Claude Opus 4.5', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-sonnet-5.5', 'Claude Sonnet 5.5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-sonnet-5', 'Claude Sonnet 5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-sonnet-4.6', 'Claude Sonnet 4.6', LONG_CONTEXT_WINDOW),
  // Anthropic retired it on 30 November 2026; when Kiro will is not known.
  {
    ...builtIn('claude-sonnet-4.5', 'Claude Sonnet 4.5', DEFAULT_CONTEXT_WINDOW),
    lifecycle: 'deprecated'
  },
  builtIn('claude-sonnet-4', 'Claude Sonnet 4', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-haiku-5.5', 'Claude Haiku 5.5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-haiku-4.5', 'Claude Haiku 4.5', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-fable-5.1', 'Claude Fable 5.1', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-fable-5', 'Claude Fable 5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('gpt-5.6-sol', 'GPT-5.6 Sol', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('gpt-5.6-terra', 'GPT-5.6 Terra', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('gpt-5.6-luna', 'GPT-5.6 Luna', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('deepseek-3.2', 'DeepSeek 3.2', 164_000),
  builtIn('glm-5', 'GLM 5', DEFAULT_CONTEXT_WINDOW),
  builtIn('kimi-k3', 'Kimi K3', LONG_CONTEXT_WINDOW),
  builtIn('minimax-m2.5', 'MiniMax M2.5', 196_000),
  builtIn('qwen3-coder-next', 'Qwen3 Coder Next', 256_000)
]

const VERSIONED = /^(claude-[a-z]+|gpt)-(\d{1,3})(?:[.-](\d{1,3}))?(?:-[a-z][a-z0-9-]*|-1m)?$/

export function versionOf(id: string): { readonly family: string; readonly rank: number } | null {
  const match = VERSIONED.exec(id.toLowerCase())
  if (match?.[1] === undefined) return null
  return { family: match[1], rank: Number(match[2]) * 1000 + Number(match[3] ?? 0) }
}

/** Finds the built-in model whose rules hold for an id: itself, or the newest of its family that is not newer. */
export function rulesFor(id: string): ModelFacts | undefined {
  const known = findModel(BUILT_IN_MODELS, id)
  const wanted = versionOf(id)
  if (known !== undefined || wanted === null) return known
  const rankOf = (facts: ModelFacts): number => {
    const version = versionOf(facts.id)
    return version?.family === wanted.family && version.rank <= wanted.rank ? version.rank : -1
  }
  const [newest] = BUILT_IN_MODELS.toSorted((a, b) => rankOf(b) - rankOf(a))
  return newest !== undefined && rankOf(newest) >= 0 ? newest : undefined
}

/** Above so many input tokens the whole request costs `factor` times as much, not only the part above. */
export interface PriceStep {
  readonly aboveTokens: number
  readonly factor: number
}

/** Steps by family and first version (kiro-protocol §7.5). Ranks as in `versionOf()`. */
const PRICE_STEPS: Readonly<Record<string, readonly [rank: number, step: PriceStep]>> = {
  gpt: [0, { aboveTokens: 272_000, factor: 2 }],
  'claude-haiku': [5005, { aboveTokens: 100_000, factor: 5 }]
}

export function priceStepOf(id: string): PriceStep | null {
  const { family, rank } = versionOf(id) ?? { family: '', rank: 0 }
  const [from, step] = (Object.hasOwn(PRICE_STEPS, family) ? PRICE_STEPS[family] : null) ?? []
  return from !== undefined && step !== undefined && rank >= from ? step : null
}

export function priceFactorOf(id: string, inputTokens: number): number {
  const step = priceStepOf(id)
  return step !== null && inputTokens > step.aboveTokens ? step.factor : 1
}

export function canonicalModelId(id: string): string {
  return id.toLowerCase().replaceAll('.', '-')
}

export function findModel(models: readonly ModelFacts[], id: string): ModelFacts | undefined {
  const wanted = canonicalModelId(id)
  return (
    models.find((one) => one.id === id) ?? models.find((one) => canonicalModelId(one.id) === wanted)
  )
}

/** Assumes images until the upstream's list denies them: a refusal upstream is readable, a wrong guess is not. */
function builtIn(
  id: string,
  name: string,
  maxInputTokens: number,
  maxOutputTokens?: number
): ModelFacts {
  const facts = { id, name, maxInputTokens, takesImages: true }
  return maxOutputTokens === undefined ? facts : { ...facts, maxOutputTokens }
}

/** Plain data: it crosses processes and threads. */
export interface Catalogue {
  readonly models: readonly ModelFacts[]
  /** The upstream's own list; otherwise the built-in one, which may be out of date. */
  readonly isLive: boolean
}

export const BUILT_IN_CATALOGUE: Catalogue = { models: BUILT_IN_MODELS, isLive: false }

/** Page of the upstream's model list (kiro-protocol §7.4). Entries without id are left out. */
export interface ModelPage {
  readonly models: readonly ModelFacts[]
  readonly nextToken: string | null
}

export function parseModelPage(page: JsonObject): ModelPage {
  const models: readonly unknown[] = Array.isArray(page['models']) ? page['models'] : []
  return {
    models: models.flatMap((model) => parseModel(asJsonObject(model) ?? {}) ?? []),
    nextToken: textMember(page, 'nextToken')
  }
}

/** Known models have a tenth of this; the list goes to every process, thread and client. */
const MAX_ID_CHARS = 200
const MAX_DESCRIPTION_CHARS = 1000
const MAX_SCHEMA_CHARS = 16_384
const MAX_SCHEMA_LEVELS = 32

function parseModel(model: JsonObject): ModelFacts | null {
  const id = textMember(model, 'modelId')
  if (id === null || id.length > MAX_ID_CHARS) return null
  const known = rulesFor(id)
  const limits = asJsonObject(model['tokenLimits']) ?? {}
  const inputTypes = model['supportedInputTypes']
  const maxOutputTokens = countOf(limits['maxOutputTokens']) ?? known?.maxOutputTokens
  const description = shortTextMember(model, 'description', MAX_DESCRIPTION_CHARS)
  const requestFieldsSchema = readSchema(model['additionalModelRequestFieldsSchema'])
  const rate = model['rateMultiplier']
  const lifecycle = lifecycleOf(textMember(model, 'status') ?? '')
  return {
    id,
    name:
      shortTextMember(model, 'modelName', MAX_ID_CHARS) ??
      findModel(BUILT_IN_MODELS, id)?.name ??
      id,
    maxInputTokens:
      countOf(limits['maxInputTokens']) ?? known?.maxInputTokens ?? DEFAULT_CONTEXT_WINDOW,
    takesImages: Array.isArray(inputTypes) ? inputTypes.includes('IMAGE') : true,
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(description === null ? {} : { description }),
    ...(typeof rate === 'number' && rate > 0 && { rate }),
    ...(lifecycle !== null && { lifecycle }),
    ...(requestFieldsSchema === null ? {} : { requestFieldsSchema })
  }
}

/** The upstream's words are not known; these are Anthropic's and AWS's. */
function lifecycleOf(status: string): Lifecycle | null {
  if (/^(?:retired|end.?of.?life|eol)$/i.test(status)) return 'retired'
  return /^(?:deprecated|legacy)$/i.test(status) ? 'deprecated' : null
}

function readSchema(value: unknown): JsonObject | null {
  const schema = asJsonObject(value)
  if (schema === null || isValueDeeper(schema, MAX_SCHEMA_LEVELS)) return null
  return JSON.stringify(schema).length > MAX_SCHEMA_CHARS ? null : schema
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined
}

import { asJsonObject, type JsonObject, textMember } from '../../shared/json.ts'

/** What the gateway knows of one upstream model (kiro-protocol §7). */
export interface ModelFacts {
  readonly id: string
  readonly name: string
  readonly description?: string
  /** Tokens. */
  readonly maxInputTokens: number
  /** Tokens. */
  readonly maxOutputTokens?: number
  readonly takesImages: boolean
  /** `additionalModelRequestFieldsSchema`, where the upstream gave one. */
  readonly requestFieldsSchema?: Readonly<Record<string, unknown>>
}

/** Input window in tokens of a model of which nothing is known (§7.3). */
export const DEFAULT_CONTEXT_WINDOW = 200_000

/** Input window in tokens of the `-1m` variants (§7.3). */
export const LONG_CONTEXT_WINDOW = 1_000_000

/** The model that lets the upstream choose; allowed whatever the catalogue says. */
export const AUTO_MODEL = 'auto'

/**
 * The models of §7.1 that were still served when this list was made: what `/v1/models` shows and
 * what names are matched against until the upstream's own list has arrived.
 */
export const BUILT_IN_MODELS: readonly ModelFacts[] = [
  builtIn(AUTO_MODEL, 'Auto', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-opus-5', 'Claude Opus 5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-opus-4.8', 'Claude Opus 4.8', LONG_CONTEXT_WINDOW, 64_000),
  builtIn('claude-opus-4.7', 'Claude Opus 4.7', LONG_CONTEXT_WINDOW),
  builtIn('claude-opus-4.6', 'Claude Opus 4.6', LONG_CONTEXT_WINDOW),
  builtIn('claude-opus-4.5', 'Claude Opus 4.5', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-sonnet-5', 'Claude Sonnet 5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-sonnet-4.6', 'Claude Sonnet 4.6', LONG_CONTEXT_WINDOW),
  builtIn('claude-sonnet-4.5', 'Claude Sonnet 4.5', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-sonnet-4', 'Claude Sonnet 4', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-haiku-4.5', 'Claude Haiku 4.5', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-fable-5', 'Claude Fable 5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('gpt-5.6-sol', 'GPT-5.6 Sol', 272_000, 128_000),
  builtIn('gpt-5.6-terra', 'GPT-5.6 Terra', 272_000, 128_000),
  builtIn('gpt-5.6-luna', 'GPT-5.6 Luna', 272_000, 128_000),
  builtIn('deepseek-3.2', 'DeepSeek 3.2', DEFAULT_CONTEXT_WINDOW),
  builtIn('glm-5', 'GLM 5', 128_000),
  builtIn('minimax-m2.5', 'MiniMax M2.5', DEFAULT_CONTEXT_WINDOW),
  builtIn('qwen3-coder-next', 'Qwen3 Coder Next', DEFAULT_CONTEXT_WINDOW)
]

/** The names that are one model: case and "dots or dashes in versions" do not tell models apart. */
export function canonicalModelId(id: string): string {
  return id.toLowerCase().replaceAll('.', '-')
}

/** Finds a model by any spelling of its id. */
export function findModel(models: readonly ModelFacts[], id: string): ModelFacts | undefined {
  const wanted = canonicalModelId(id)
  return (
    models.find((one) => one.id === id) ?? models.find((one) => canonicalModelId(one.id) === wanted)
  )
}

/** Images are assumed until the upstream's list says otherwise: a refusal upstream is readable, a guess is not. */
function builtIn(
  id: string,
  name: string,
  maxInputTokens: number,
  maxOutputTokens?: number
): ModelFacts {
  const facts = { id, name, maxInputTokens, takesImages: true }
  return maxOutputTokens === undefined ? facts : { ...facts, maxOutputTokens }
}

/** The models there are. Plain data: it crosses processes and threads. */
export interface Catalogue {
  readonly models: readonly ModelFacts[]
  /** It is the upstream's own list; otherwise the built-in one, which may be out of date. */
  readonly isLive: boolean
}

export const BUILT_IN_CATALOGUE: Catalogue = { models: BUILT_IN_MODELS, isLive: false }

/** One page of the upstream's model list (kiro-protocol §7.4). Members may be missing; entries without id are left out. */
export interface ModelPage {
  readonly models: readonly ModelFacts[]
  readonly nextToken: string | null
}

export function parseModelPage(page: JsonObject): ModelPage {
  const models: readonly unknown[] = Array.isArray(page['models']) ? page['models'] : []
  return {
    models: models.flatMap((model) => parseModel(asJsonObject(model)) ?? []),
    nextToken: textMember(page, 'nextToken')
  }
}

function parseModel(model: JsonObject | null): ModelFacts | null {
  const id = model === null ? null : textMember(model, 'modelId')
  if (model === null || id === null) return null
  const known = findModel(BUILT_IN_MODELS, id)
  const limits = asJsonObject(model['tokenLimits']) ?? {}
  const inputTypes = model['supportedInputTypes']
  const maxOutputTokens = countOf(limits['maxOutputTokens']) ?? known?.maxOutputTokens
  const description = textMember(model, 'description')
  const requestFieldsSchema = asJsonObject(model['additionalModelRequestFieldsSchema'])
  return {
    id,
    name: textMember(model, 'modelName') ?? known?.name ?? id,
    maxInputTokens:
      countOf(limits['maxInputTokens']) ?? known?.maxInputTokens ?? DEFAULT_CONTEXT_WINDOW,
    takesImages: Array.isArray(inputTypes) ? inputTypes.includes('IMAGE') : true,
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(description === null ? {} : { description }),
    ...(requestFieldsSchema === null ? {} : { requestFieldsSchema })
  }
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined
}

import { asJsonObject, type JsonObject, textMember } from './json-object.ts'
import { BUILT_IN_MODELS, DEFAULT_CONTEXT_WINDOW, findModel, type ModelFacts } from './models.ts'

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

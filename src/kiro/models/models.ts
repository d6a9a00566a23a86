import { editDistance } from '../../shared/edit-distance.ts'
import { GatewayError } from '../../shared/errors.ts'
import { asJsonObject, type JsonObject, shortTextMember, textMember } from '../../shared/json.ts'
import { isValueDeeper } from '../../shared/json-outline.ts'
import type { RuleId } from '../rules/rules.ts'

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
  /** What a request costs beside one of the model that costs 1; 1 where the upstream does not say. */
  readonly rate?: number
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
  builtIn('claude-sonnet-4.5', 'Claude Sonnet 4.5', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-sonnet-4', 'Claude Sonnet 4', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-haiku-4.5', 'Claude Haiku 4.5', DEFAULT_CONTEXT_WINDOW),
  builtIn('claude-fable-5.1', 'Claude Fable 5.1', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('claude-fable-5', 'Claude Fable 5', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('gpt-5.6-sol', 'GPT-5.6 Sol', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('gpt-5.6-terra', 'GPT-5.6 Terra', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('gpt-5.6-luna', 'GPT-5.6 Luna', LONG_CONTEXT_WINDOW, 128_000),
  builtIn('deepseek-3.2', 'DeepSeek 3.2', 164_000),
  builtIn('glm-5', 'GLM 5', DEFAULT_CONTEXT_WINDOW),
  builtIn('minimax-m2.5', 'MiniMax M2.5', 196_000),
  builtIn('qwen3-coder-next', 'Qwen3 Coder Next', 256_000)
]

const VERSIONED = /^(claude-[a-z]+|gpt)-(\d{1,3})(?:[.-](\d{1,3}))?(?:-[a-z][a-z0-9-]*|-1m)?$/

/** The family of a model and how new it is in it; `null` for a name without a version. */
export function versionOf(id: string): { readonly family: string; readonly rank: number } | null {
  const match = VERSIONED.exec(id.toLowerCase())
  if (match?.[1] === undefined) return null
  return { family: match[1], rank: Number(match[2]) * 1000 + Number(match[3] ?? 0) }
}

/**
 * The built-in model whose rules hold for an id: itself, or else the newest of its family that is no newer, so that a
 * version yet to come has the rules of the family's newest.
 */
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

/**
 * Input tokens above which the whole request of a GPT model costs double (kiro-protocol §7.5); `null` for models
 * with one price.
 */
export function priceStepOf(id: string): number | null {
  return versionOf(id)?.family === 'gpt' ? 272_000 : null
}

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
    models: models.flatMap((model) => parseModel(asJsonObject(model) ?? {}) ?? []),
    nextToken: textMember(page, 'nextToken')
  }
}

/** The list goes to every process and thread, and its texts to clients: those of known models are a tenth of this. */
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
    ...(requestFieldsSchema === null ? {} : { requestFieldsSchema })
  }
}

/** A schema beyond the bounds counts as none. */
function readSchema(value: unknown): JsonObject | null {
  const schema = asJsonObject(value)
  if (schema === null || isValueDeeper(schema, MAX_SCHEMA_LEVELS)) return null
  return JSON.stringify(schema).length > MAX_SCHEMA_CHARS ? null : schema
}

function countOf(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : undefined
}

/** What decides which upstream model a client's name means. */
export interface ModelResolutionOptions {
  /** Client name → upstream name; values may be aliases again. */
  readonly aliases: Readonly<Record<string, string>>
  readonly models: readonly ModelFacts[]
  /** Whether `models` is the upstream's own list, so that what it lacks does not exist. */
  readonly isCatalogueLive: boolean
  /** Input windows in tokens, as digits, that the operator knows better, by the upstream's name. */
  readonly windows?: Readonly<Record<string, string>>
}

/** The upstream model for one request. */
export interface ResolvedModel {
  readonly id: string
  /** Missing where the id is passed through unknown. */
  readonly facts?: ModelFacts
  /** Tokens. */
  readonly contextWindow: number
  readonly asksThinking: boolean
  /** Whether another model of the same family stands in for an id that the upstream does not list. */
  readonly isSubstitute: boolean
}

/** Error messages name this many models at most. */
const MAX_SUGGESTIONS = 3
/** Longer names are cut before they are compared or shown. */
const MAX_COMPARED_CHARS = 64

/** The order in which families stand in for a Claude family that the catalogue lacks. */
const FALLBACK_FAMILIES = ['sonnet', 'opus', 'haiku', 'fable']

/**
 * Finds the upstream model for a client's name: aliases, spelling, catalogue (§7.2, §7.3).
 *
 * Without a live catalogue every name is passed on. With one, unknown Claude ids go to the newest model
 * of their family, since clients build such ids themselves and give up on a 404.
 *
 * @throws {GatewayError} GW_MODEL_UNKNOWN for any other id that a live catalogue does not list.
 */
export function resolveModel(name: string, options: ModelResolutionOptions): ResolvedModel {
  const model = resolveListed(name, options)
  const own = options.windows?.[model.id]
  return own === undefined ? model : { ...model, contextWindow: Number(own) }
}

function resolveListed(name: string, options: ModelResolutionOptions): ResolvedModel {
  const { models } = options
  const target = followAliases(name, options)
  const listed = findModel(models, target)
  if (listed !== undefined) return resolved(listed, { asksThinking: false, isSubstitute: false })
  const { id, asksThinking, asksLongContext } = normaliseModelName(target)
  const wanted = asksLongContext
    ? (findModel(models, `${id}-1m`) ?? findModel(models, id))
    : findModel(models, id)
  if (wanted !== undefined) return resolved(wanted, { asksThinking, isSubstitute: false })
  if (id.toLowerCase() === AUTO_MODEL || !options.isCatalogueLive || models.length === 0) {
    const isLong = asksLongContext || id.endsWith('-1m')
    const contextWindow = isLong
      ? LONG_CONTEXT_WINDOW
      : (rulesFor(id)?.maxInputTokens ?? DEFAULT_CONTEXT_WINDOW)
    return { id, contextWindow, asksThinking, isSubstitute: false }
  }
  const substitute = id.toLowerCase().startsWith('claude') ? findSubstitute(id, models) : undefined
  if (substitute === undefined) throw modelUnknown(name, models)
  return resolved(substitute, { asksThinking, isSubstitute: true })
}

function resolved(
  facts: ModelFacts,
  how: Pick<ResolvedModel, 'asksThinking' | 'isSubstitute'>
): ResolvedModel {
  return { id: facts.id, facts, contextWindow: facts.maxInputTokens, ...how }
}

/** A chain that comes back to a name it has seen ends there. */
function followAliases(name: string, { aliases }: ModelResolutionOptions): string {
  const seen = new Set<string>()
  let current = name.trim()
  while (!seen.has(current)) {
    seen.add(current)
    const target = Object.hasOwn(aliases, current) ? aliases[current] : undefined
    if (target === undefined) break
    current = target
  }
  return current
}

function findSubstitute(id: string, models: readonly ModelFacts[]): ModelFacts | undefined {
  const own = FALLBACK_FAMILIES.filter((family) => id.toLowerCase().includes(family))
  for (const family of [...own, ...FALLBACK_FAMILIES]) {
    const newest = newestOf(family, models)
    if (newest !== undefined) return newest
  }
  return findModel(models, AUTO_MODEL)
}

function newestOf(family: string, models: readonly ModelFacts[]): ModelFacts | undefined {
  const pattern = new RegExp(`^claude-${family}-(\\d+)(?:\\.(\\d+))?$`)
  const versions = models.flatMap((facts) => {
    const match = pattern.exec(facts.id)
    return match === null ? [] : { facts, version: Number(match[1]) * 1000 + Number(match[2] ?? 0) }
  })
  return versions.toSorted((a, b) => b.version - a.version)[0]?.facts
}

/** Says which of the models that do exist are nearest to a name. */
export function modelUnknown(name: string, models: readonly ModelFacts[]): GatewayError {
  const shown = name.slice(0, MAX_COMPARED_CHARS)
  const wanted = shown.toLowerCase()
  const distanceTo = (id: string): number =>
    editDistance(wanted, id.slice(0, MAX_COMPARED_CHARS).toLowerCase())
  const byDistance = models
    .map(({ id }) => ({ id, distance: distanceTo(id) }))
    .toSorted((a, b) => a.distance - b.distance)
  const nearest = byDistance.slice(0, MAX_SUGGESTIONS).map(({ id }) => id)
  return new GatewayError('GW_MODEL_UNKNOWN', `model ${shown}`, {
    message: `The model "${shown}" does not exist. The nearest are: ${nearest.join(', ')}. GET /v1/models lists all.`,
    param: 'model',
    rule: 'model-known' satisfies RuleId
  })
}

/** A client's model name after clean-up, and what its decorations asked for. */
export interface ModelName {
  /** The spelling that the upstream uses, if it has such a model. */
  readonly id: string
  /** `-thinking` at the end: reasoning was asked for by name. */
  readonly asksThinking: boolean
  /** `[1m]` at the end: the variant with the long context window was asked for. */
  readonly asksLongContext: boolean
}

/** Names longer than any model's are not looked at further: they cannot match. */
const MAX_NAME_CHARS = 200

const WINDOW_MARKER = /\[(\d+)([mk])\]$/i
const PROVIDER_PREFIX = /^anthropic[-/](?=.)/i
const SUFFIX = /-(thinking|agentic)$/i

const FAMILY = '(haiku|sonnet|opus|fable)'

/** Spellings and what the upstream writes for them, in the order of kiro-protocol §7.2; the first that matches decides. */
const SPELLINGS: readonly (readonly [RegExp, string])[] = [
  [`${FAMILY}-(\\d+)-(\\d{1,2})(-1m)?(?:-\\d+|-latest)?`, 'claude-$1-$2.$3$4'],
  [`${FAMILY}-(\\d+)(-1m)?(?:-\\d{8}|-latest)?`, 'claude-$1-$2$3'],
  [`(\\d+)-(\\d{1,2})-${FAMILY}(?:-\\d{8}|-latest)?`, 'claude-$1.$2-$3'],
  [`((?:${FAMILY}-\\d+\\.\\d+|\\d+\\.\\d+-${FAMILY})(?:-1m)?)(?:-\\d{8}|-latest)?`, 'claude-$1'],
  [`(\\d+\\.\\d+)-${FAMILY}-.+`, 'claude-$2-$1']
].map(([pattern, id = '']) => [new RegExp(`^claude-${pattern}$`), id])

/**
 * Turns any known spelling of a model's name into the upstream's (§7.2): window markers, `-thinking`
 * and `-agentic` come off, dates go, dashes in Claude versions become dots. Pure and idempotent; a name
 * that no rule knows keeps its spelling and its case.
 */
export function normaliseModelName(name: string): ModelName {
  const trimmed = name.trim()
  if (trimmed.length > MAX_NAME_CHARS) {
    return { id: trimmed, asksThinking: false, asksLongContext: false }
  }
  let rest = trimmed
  let asksThinking = false
  let asksLongContext = false
  for (;;) {
    const marker = WINDOW_MARKER.exec(rest)
    const suffix = marker ?? SUFFIX.exec(rest) ?? PROVIDER_PREFIX.exec(rest)
    if (suffix === null || suffix[0].length === rest.length) break
    if (marker !== null) asksLongContext ||= marker[2]?.toLowerCase() === 'm'
    else if (suffix[1]?.toLowerCase() === 'thinking') asksThinking = true
    rest = suffix.index === 0 ? rest.slice(suffix[0].length) : rest.slice(0, suffix.index)
  }
  return { id: toUpstreamSpelling(rest), asksThinking, asksLongContext }
}

function toUpstreamSpelling(name: string): string {
  const lower = name.toLowerCase()
  const known = SPELLINGS.find(([pattern]) => pattern.test(lower))
  return known === undefined ? name : lower.replace(...known)
}

import {
  asJsonObject,
  type JsonObject,
  shortTextMember,
  textMember,
  isValueDeeper
} from '../../shared/json.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { RuleId } from '../rules/rules.ts'
import { nearNames } from './near-names.ts'
import { allowedBy, mayAskModel, type ModelAccess, modelNotAllowed } from './model-access.ts'

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

/** Credits per token of a request, nothing of it cached, at rate 1 (kiro-protocol §7.5). */
export const CREDITS_PER_TOKEN = 1.6584e-5

export function priceFactorOf(id: string, inputTokens: number): number {
  const step = priceStepOf(id)
  return step !== null && inputTokens > step.aboveTokens ? step.factor : 1
}

/** Credits that the list says a request costs. */
export function listedCredits(
  { model, inputTokens }: { readonly model: string; readonly inputTokens: number },
  models: readonly ModelFacts[]
): number {
  const { rate = 1 } = findModel(models, model) ?? {}
  return rate * priceFactorOf(model, inputTokens)
}

export function canonicalModelId(id: string): string {
  return id.toLowerCase().replaceAll('.', '-')
}

export function findModel<M extends Pick<ModelFacts, 'id'>>(
  models: readonly M[],
  id: string
): M | undefined {
  const wanted = canonicalModelId(id)
  return (
    models.find((one) => one.id === id) ?? models.find((one) => canonicalModelId(one.id) === wanted)
  )
}

/** Operator's windows by upstream name: tokens as digits. */
export type OwnWindows = Readonly<Record<string, string>>

/** Returns the tokens that a model's window has: the operator's figure, else the list's; `undefined` if neither knows it. */
export function contextWindowOf(
  id: string,
  { models, windows }: { readonly models: readonly ModelFacts[]; readonly windows: OwnWindows }
): number | undefined {
  const listed = findModel(models, id)
  return ownWindow(windows, listed?.id ?? id) ?? listed?.maxInputTokens
}

/** Ids come from clients and the upstream, and may be the name of something that every object has. */
function ownWindow(windows: OwnWindows, id: string): number | undefined {
  return Object.hasOwn(windows, id) ? Number(windows[id]) : undefined
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

const FAMILIES = ['sonnet', 'opus', 'haiku', 'fable'] as const

const TIERS = ['terra', 'sol', 'luna'] as const

const TIER_WORDS: readonly (readonly [RegExp, (typeof TIERS)[number]])[] = [
  [/-terra\b/, 'terra'],
  [/-sol\b/, 'sol'],
  [/-luna\b/, 'luna'],
  [/-(?:mini|nano)\b/, 'luna'],
  [/-pro\b/, 'sol']
]

/** First version whose name without a tier is OpenAI's alias for its largest model. */
const FIRST_TIERED = [5, 6] as const

/** Picks Claude's newest of the family, or GPT's newest of the nearest tier; `undefined` for other vendors. */
export function findSubstitute(id: string, models: readonly ModelFacts[]): ModelFacts | undefined {
  const lines = linesFor(id.toLowerCase())
  if (lines.length === 0) return undefined
  for (const line of lines) {
    const newest = newestOf(line, models)
    if (newest !== undefined) return newest
  }
  return findModel(models, AUTO_MODEL)
}

function linesFor(name: string): readonly RegExp[] {
  if (name.startsWith('claude')) {
    const own = FAMILIES.filter((family) => name.includes(family))
    return [...own, ...FAMILIES].map(
      (family) => new RegExp(`^claude-${family}-(\\d+)(?:\\.(\\d+))?$`)
    )
  }
  if (!name.startsWith('gpt-')) return []
  return [tierOf(name), ...TIERS].map((tier) => new RegExp(`^gpt-(\\d+)(?:\\.(\\d+))?-${tier}$`))
}

function tierOf(name: string): (typeof TIERS)[number] {
  const worded = TIER_WORDS.find(([word]) => word.test(name))
  if (worded !== undefined) return worded[1]
  const [, major, minor = '0'] = /^gpt-(\d+)(?:[.-](\d{1,2}))?(?![\d])/.exec(name) ?? []
  const isTiered = orderOf(Number(major), Number(minor)) >= orderOf(...FIRST_TIERED)
  return isTiered ? 'sol' : 'terra'
}

function newestOf(line: RegExp, models: readonly ModelFacts[]): ModelFacts | undefined {
  const versions = models.flatMap((facts) => {
    const match = line.exec(facts.id)
    return match === null || facts.lifecycle === 'retired'
      ? []
      : { facts, version: orderOf(Number(match[1]), Number(match[2] ?? 0)) }
  })
  return versions.toSorted((a, b) => b.version - a.version)[0]?.facts
}

function orderOf(major: number, minor: number): number {
  return major * 1000 + minor
}

interface ModelResolutionOptions {
  /** Client name → upstream name, which may be another alias. */
  readonly aliases: Readonly<Record<string, string>>
  readonly models: readonly ModelFacts[]
  readonly isCatalogueLive: boolean
  readonly windows?: OwnWindows
  /** Models that the client's key may use; all if left out. Errors name no others. */
  readonly access?: ModelAccess
}

export interface ResolvedModel {
  readonly id: string
  readonly facts?: ModelFacts
  readonly contextWindow: number
  readonly asksThinking: boolean
  readonly isSubstitute: boolean
}

const MAX_SHOWN_CHARS = 64

/**
 * Resolves aliases, spelling and catalogue (§7.2, §7.3). Unknown Claude and GPT ids go to the newest model
 * of their family: clients build such ids and give up on a 404.
 * A key's patterns apply to the upstream's name and the operator's aliases only, since any model may answer
 * `claude-haiku-of-mine`.
 * @throws {GatewayError} GW_MODEL_UNKNOWN for another id that a live catalogue does not list;
 * GW_MODEL_NOT_ALLOWED
 */
export function resolveModel(name: string, options: ModelResolutionOptions): ResolvedModel {
  const model = resolveListed(name, options)
  const { access, aliases } = options
  const alias = name.trim()
  const names = Object.hasOwn(aliases, alias) ? [model.id, alias] : [model.id]
  if (access !== undefined && !mayAskModel(access.patterns, names))
    throw modelNotAllowed(access, name, listedNames(options))
  const own = ownWindow(options.windows ?? {}, model.id)
  return own === undefined ? model : { ...model, contextWindow: own }
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
  const substitute = findSubstitute(id, models)
  if (substitute === undefined) throw modelUnknown(name, options)
  return resolved(substitute, { asksThinking, isSubstitute: true })
}

function resolved(
  facts: ModelFacts,
  how: Pick<ResolvedModel, 'asksThinking' | 'isSubstitute'>
): ResolvedModel {
  return { id: facts.id, facts, contextWindow: facts.maxInputTokens, ...how }
}

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

type KnownModels = Pick<ModelResolutionOptions, 'models' | 'aliases' | 'access'>

export function listedNames({ models, aliases }: KnownModels): readonly string[] {
  return [...Object.keys(aliases), ...models.map(({ id }) => id)]
}

export function modelUnknown(name: string, known: KnownModels): GatewayError {
  const shown = name.slice(0, MAX_SHOWN_CHARS)
  const { access } = known
  const others =
    access === undefined
      ? `${nearestTo(shown, known)}GET /v1/models lists all.`
      : `The API key of "${access.keyName}" allows ${allowedBy(access, listedNames(known))}.`
  return new GatewayError('GW_MODEL_UNKNOWN', `model ${shown}`, {
    message: `The model "${shown}" does not exist. ${others}`,
    param: 'model',
    rule: 'model-known' satisfies RuleId
  })
}

/** Retired ones would be refused, too. */
function nearestTo(name: string, { models, aliases }: KnownModels): string {
  const served = models.filter(({ lifecycle }) => lifecycle !== 'retired')
  const near = nearNames(name, listedNames({ models: served, aliases }))
  if (near.length === 0) return ''
  return `The nearest ${near.length === 1 ? 'is' : 'are'}: ${near.join(', ')}. `
}

interface ModelName {
  readonly id: string
  /** Suffix `-thinking`: reasoning. */
  readonly asksThinking: boolean
  /** Suffix `[1m]`: the variant with the long context window. */
  readonly asksLongContext: boolean
}

const MAX_NAME_CHARS = 200

const WINDOW_MARKER = /\[(\d+)([mk])\]$/i
const PROVIDER_PREFIX = /^anthropic[-/](?=.)/i
const SUFFIX = /-(thinking|agentic)$/i

const FAMILY = '(haiku|sonnet|opus|fable)'

/** Spellings and their replacements in the order of kiro-protocol §7.2; the first match decides. */
const SPELLINGS: readonly (readonly [RegExp, string])[] = [
  [`${FAMILY}-(\\d+)-(\\d{1,2})(-1m)?(?:-\\d+|-latest)?`, 'claude-$1-$2.$3$4'],
  [`${FAMILY}-(\\d+)(-1m)?(?:-\\d{8}|-latest)?`, 'claude-$1-$2$3'],
  [`(\\d+)-(\\d{1,2})-${FAMILY}(?:-\\d{8}|-latest)?`, 'claude-$1.$2-$3'],
  [`((?:${FAMILY}-\\d+\\.\\d+|\\d+\\.\\d+-${FAMILY})(?:-1m)?)(?:-\\d{8}|-latest)?`, 'claude-$1'],
  [`(\\d+\\.\\d+)-${FAMILY}-.+`, 'claude-$2-$1']
].map(([pattern, id = '']) => [new RegExp(`^claude-${pattern}$`), id])

/** Pure and idempotent (§7.2); an unknown name is unchanged. */
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

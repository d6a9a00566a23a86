import { editDistance } from '../../shared/edit-distance.ts'
import { GatewayError } from '../../shared/errors.ts'
import type { RuleId } from '../rules/rules.ts'
import {
  AUTO_MODEL,
  DEFAULT_CONTEXT_WINDOW,
  findModel,
  LONG_CONTEXT_WINDOW,
  type ModelFacts,
  rulesFor
} from './models.ts'
import { allowedBy, mayAskModel, type ModelAccess, modelNotAllowed } from './model-access.ts'
import { findSubstitute } from './substitutes.ts'

export interface ModelResolutionOptions {
  /** Client name → upstream name, which may be another alias. */
  readonly aliases: Readonly<Record<string, string>>
  readonly models: readonly ModelFacts[]
  readonly isCatalogueLive: boolean
  /** Operator's input windows by upstream name: tokens as digits. */
  readonly windows?: Readonly<Record<string, string>>
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

const MAX_SUGGESTIONS = 3
const MAX_COMPARED_CHARS = 64

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
  const shown = name.slice(0, MAX_COMPARED_CHARS)
  const { access } = known
  const others =
    access === undefined
      ? `The nearest are: ${nearestTo(shown, known.models).join(', ')}. GET /v1/models lists all.`
      : `The API key of "${access.keyName}" allows ${allowedBy(access, listedNames(known))}.`
  return new GatewayError('GW_MODEL_UNKNOWN', `model ${shown}`, {
    message: `The model "${shown}" does not exist. ${others}`,
    param: 'model',
    rule: 'model-known' satisfies RuleId
  })
}

function nearestTo(name: string, models: readonly ModelFacts[]): readonly string[] {
  const wanted = name.toLowerCase()
  const distanceTo = (id: string): number =>
    editDistance(wanted, id.slice(0, MAX_COMPARED_CHARS).toLowerCase())
  const byDistance = models
    .map(({ id }) => ({ id, distance: distanceTo(id) }))
    .toSorted((a, b) => a.distance - b.distance)
  return byDistance.slice(0, MAX_SUGGESTIONS).map(({ id }) => id)
}

export interface ModelName {
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

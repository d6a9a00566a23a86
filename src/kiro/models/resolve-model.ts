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

/** The settings and lists by which a client's name is resolved. */
export interface ModelResolutionOptions {
  /** Client name → upstream name; values may be aliases again. */
  readonly aliases: Readonly<Record<string, string>>
  readonly models: readonly ModelFacts[]
  /** True if `models` is the upstream's own list, so that missing models do not exist. */
  readonly isCatalogueLive: boolean
  /** Input windows in tokens, as digits, that the operator knows better, by the upstream's name. */
  readonly windows?: Readonly<Record<string, string>>
  /** Models that the client's key may ask; left out where it may ask all. Errors name no other models. */
  readonly access?: ModelAccess
}

/** The upstream model for one request. */
export interface ResolvedModel {
  readonly id: string
  /** Missing where the id is passed through unknown. */
  readonly facts?: ModelFacts
  /** Tokens. */
  readonly contextWindow: number
  readonly asksThinking: boolean
  /** True if another model of the same family replaces an unlisted id. */
  readonly isSubstitute: boolean
}

/** Error messages name this many models at most. */
const MAX_SUGGESTIONS = 3
/** Longer names are cut before they are compared or shown. */
const MAX_COMPARED_CHARS = 64

/**
 * Finds the upstream model for a client's name: aliases, spelling, catalogue (§7.2, §7.3).
 *
 * Without a live catalogue every name is passed on. With one, unknown Claude and GPT ids go to the newest model
 * of their family, since clients build such ids themselves and give up on a 404.
 *
 * @throws {GatewayError} GW_MODEL_UNKNOWN for any other id that a live catalogue does not list; GW_MODEL_NOT_ALLOWED for a
 *   model that the client's key may not ask: it counts under the upstream's name and under an alias of the operator's, not
 *   under whatever else a client calls it, since `claude-haiku-of-mine` may be answered by any model.
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

type KnownModels = Pick<ModelResolutionOptions, 'models' | 'aliases' | 'access'>

/** All names under which models are listed. */
export function listedNames({ models, aliases }: KnownModels): readonly string[] {
  return [...Object.keys(aliases), ...models.map(({ id }) => id)]
}

/** Says which of the models that do exist are nearest to a name, or which the client's key may ask where not all. */
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

import type { IncomingMessage } from 'node:http'
import { effortsOf } from '../../kiro/conversation/reasoning.ts'
import {
  AUTO_MODEL,
  canonicalModelId,
  type Catalogue,
  findModel,
  type ModelFacts,
  modelUnknown,
  normaliseModelName,
  priceStepOf,
  resolveModel
} from '../../kiro/models/models.ts'
import { isModelAllowed, type NamedKey } from '../../keys/key.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import type { KeyPlanes } from '../plane/key-planes.ts'
import { asToldTo, modelNotAllowed } from '../plane/model-access.ts'
import { requestOptionsOf } from '../turn/body.ts'
import { type Route, type RoutedRequest, sendJson } from './router.ts'

/** The API has `created`, which is not known: the day the upstream's API was first seen. */
const CREATED_AT = new Date('2025-07-14T00:00:00Z')

interface ListedModel {
  readonly id: string
  readonly name: string
  readonly ownedBy: string
  /** Of the upstream's model; missing for a name of the operator's that leads to none. */
  readonly facts?: ModelFacts | undefined
}

/** The models and aliases there are, in the shape of the API that asks: Anthropic's clients say `anthropic-version`. */
export function modelRoutes(own: DataPlane, keys: KeyPlanes): readonly Route[] {
  /** Of a key's own models, once they are known. */
  const planeOf = async ({ kiroKey, response }: RoutedRequest): Promise<DataPlane> =>
    kiroKey === null ? own : keys.planeWithModels(kiroKey, response)
  const serveList: Route['serve'] = async (routed) => {
    const toList = isAnthropic(routed.request) ? toAnthropicList : toOpenAiList
    const { namedKey } = routed
    const models = listOf(await planeOf(routed))
    sendJson(routed, 200, toList(models.filter((model) => isAllowed(namedKey, model))))
  }
  const serveModel: Route['serve'] = async (routed) => {
    const { id = '' } = routed.params
    const plane = await planeOf(routed)
    const { namedKey } = routed
    const model = findListed(id, listOf(plane)) ?? findSubstitute(id, plane, namedKey)
    if (namedKey !== null && !isAllowed(namedKey, model)) throw modelNotAllowed(namedKey, id, plane)
    const toModel = isAnthropic(routed.request) ? toAnthropicModel : toOpenAiModel
    sendJson(routed, 200, toModel(model))
  }
  return ['/v1/models', '/models', '/anthropic/v1/models'].flatMap((path) => [
    { method: 'GET', path, serve: serveList },
    { method: 'GET', path: `${path}/:id`, serve: serveModel }
  ])
}

function isAllowed(key: NamedKey | null, { id, facts }: ListedModel): boolean {
  return key === null || isModelAllowed(key, facts === undefined ? [id] : [id, facts.id])
}

function listOf(plane: DataPlane): readonly ListedModel[] {
  const { aliases, windows } = plane.config().models
  return listModels(plane.catalogue(), aliases, windows)
}

/** `auto` is Cursor's own word, so it is also listed under a name that no client keeps for itself. */
function listModels(
  { models }: Catalogue,
  aliases: Readonly<Record<string, string>>,
  windows: Readonly<Record<string, string>>
): readonly ListedModel[] {
  const listed = models.map((facts) => toListed(facts, windows))
  const aliased = Object.entries(aliases).map(([id, target]): ListedModel => {
    const facts = findModel(models, target)
    if (facts === undefined) return { id, name: id, ownedBy: ownerOf(target) }
    return { ...toListed(facts, windows), id, ownedBy: ownerOf(target) }
  })
  return [...aliased, ...listed.filter((model) => !Object.hasOwn(aliases, model.id))]
}

/** By any spelling that a request may use, and under the name that was asked for. */
function findListed(id: string, models: readonly ListedModel[]): ListedModel | undefined {
  const wanted = canonicalModelId(normaliseModelName(id).id)
  const model =
    models.find((one) => one.id === id) ?? models.find((one) => canonicalModelId(one.id) === wanted)
  return model === undefined ? undefined : { ...model, id }
}

/**
 * The model that answers in the place of one that is not listed: a client that looks a name up means to use it.
 *
 * @throws {GatewayError} GW_MODEL_UNKNOWN
 */
function findSubstitute(id: string, plane: DataPlane, namedKey: NamedKey | null): ListedModel {
  const options = requestOptionsOf(plane)
  try {
    const { facts } = resolveModel(id, options)
    if (facts === undefined) throw modelUnknown(id, options.models)
    return { ...toListed(facts, plane.config().models.windows), id }
  } catch (cause) {
    throw asToldTo(namedKey, cause, plane)
  }
}

function toListed(facts: ModelFacts, windows: Readonly<Record<string, string>>): ListedModel {
  const { id, name } = facts
  const own = windows[id]
  const maxInputTokens = own === undefined ? facts.maxInputTokens : Number(own)
  return { id, name, ownedBy: ownerOf(id), facts: { ...facts, maxInputTokens } }
}

function ownerOf(id: string): string {
  if (id.startsWith('claude')) return 'anthropic'
  if (id.startsWith('gpt')) return 'openai'
  return id === AUTO_MODEL ? 'kiro' : (id.split('-')[0] ?? 'kiro')
}

function isAnthropic({ headers }: IncomingMessage): boolean {
  return headers['anthropic-version'] !== undefined
}

function toOpenAiList(models: readonly ListedModel[]) {
  return { object: 'list', data: models.map(toOpenAiModel) }
}

/** OpenAI's own list has no figures; these are the names by which clients of compatible servers look for them. */
function toOpenAiModel({ id, name, ownedBy, facts }: ListedModel) {
  const model = { id, object: 'model', created: CREATED_AT.getTime() / 1000, owned_by: ownedBy }
  if (facts === undefined) return model
  const { maxInputTokens, maxOutputTokens } = facts
  const { efforts } = effortsOf(facts)
  return {
    ...model,
    name,
    description: describe(facts),
    context_length: maxInputTokens,
    context_window: maxInputTokens,
    ...(maxOutputTokens !== undefined && { max_output_tokens: maxOutputTokens }),
    ...(efforts.length > 0 && { supported_reasoning_efforts: efforts })
  }
}

/** For pickers, which show it to people. */
function describe(facts: ModelFacts): string {
  const { maxInputTokens, maxOutputTokens, id } = facts
  const { efforts, alwaysThinks } = effortsOf(facts)
  const step = priceStepOf(id)
  const words = [
    facts.description ?? '',
    `${inThousands(maxInputTokens)} tokens in${maxOutputTokens === undefined ? '' : `, ${inThousands(maxOutputTokens)} out`}`,
    efforts.length === 0 ? '' : `effort ${efforts.join(', ')}`,
    alwaysThinks ? 'always thinks' : '',
    step === null || step >= maxInputTokens ? '' : `double price above ${inThousands(step)} tokens`
  ]
  return words.filter((word) => word !== '').join(' · ')
}

function inThousands(tokens: number): string {
  return tokens % 1_000_000 === 0 ? `${tokens / 1_000_000}M` : `${Math.round(tokens / 1000)}k`
}

function toAnthropicList(models: readonly ListedModel[]) {
  const data = models.map(toAnthropicModel)
  return {
    data,
    has_more: false,
    first_id: data[0]?.id ?? null,
    last_id: data.at(-1)?.id ?? null
  }
}

function toAnthropicModel({ id, name, facts }: ListedModel) {
  const model = { type: 'model', id, display_name: name, created_at: CREATED_AT.toISOString() }
  if (facts === undefined) return model
  const { maxInputTokens, maxOutputTokens, takesImages } = facts
  return {
    ...model,
    description: describe(facts),
    max_input_tokens: maxInputTokens,
    ...(maxOutputTokens !== undefined && { max_tokens: maxOutputTokens }),
    capabilities: { image_input: { supported: takesImages }, ...reasoningOf(facts) }
  }
}

/** What a model's own list at the vendor says of its reasoning, in the same words. */
function reasoningOf(facts: ModelFacts) {
  const { efforts } = effortsOf(facts)
  const isSupported = efforts.length > 0
  const effort = { supported: isSupported, ...Object.fromEntries(efforts.map(supports)) }
  return { effort, thinking: { supported: isSupported } }
}

function supports(effort: string) {
  return [effort, { supported: true }] as const
}

import type { IncomingMessage } from 'node:http'
import {
  AUTO_MODEL,
  canonicalModelId,
  type Catalogue,
  findModel,
  type ModelFacts,
  modelUnknown,
  normaliseModelName,
  resolveModel
} from '../../kiro/models/models.ts'
import type { DataPlane } from '../plane/data-plane.ts'
import { requestOptionsOf } from '../turn/body.ts'
import { type Route, sendJson } from './router.ts'

/** The API has `created`, which is not known: the day the upstream's API was first seen. */
const CREATED_AT = new Date('2025-07-14T00:00:00Z')

interface ListedModel {
  readonly id: string
  readonly name: string
  readonly ownedBy: string
}

/** The models and aliases there are, in the shape of the API that asks: Anthropic's clients say `anthropic-version`. */
export function modelRoutes(plane: DataPlane): readonly Route[] {
  const list = (): readonly ListedModel[] =>
    listModels(plane.catalogue(), plane.config().models.aliases)
  const serveList: Route['serve'] = (routed) => {
    const toList = isAnthropic(routed.request) ? toAnthropicList : toOpenAiList
    sendJson(routed, 200, toList(list()))
  }
  const serveModel: Route['serve'] = (routed) => {
    const { id = '' } = routed.params
    const model = findListed(id, list()) ?? findSubstitute(id, plane)
    const toModel = isAnthropic(routed.request) ? toAnthropicModel : toOpenAiModel
    sendJson(routed, 200, toModel(model))
  }
  return ['/v1/models', '/models', '/anthropic/v1/models'].flatMap((path) => [
    { method: 'GET', path, serve: serveList },
    { method: 'GET', path: `${path}/:id`, serve: serveModel }
  ])
}

/** `auto` is Cursor's own word, so it is also listed under a name that no client keeps for itself. */
function listModels(
  { models }: Catalogue,
  aliases: Readonly<Record<string, string>>
): readonly ListedModel[] {
  const listed = models.map(toListed)
  const aliased = Object.entries(aliases).map(([id, target]) => ({
    id,
    name: findModel(models, target)?.name ?? id,
    ownedBy: ownerOf(target)
  }))
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
function findSubstitute(id: string, plane: DataPlane): ListedModel {
  const options = requestOptionsOf(plane)
  const { facts } = resolveModel(id, options)
  if (facts === undefined) throw modelUnknown(id, options.models)
  return { ...toListed(facts), id }
}

function toListed({ id, name }: ModelFacts): ListedModel {
  return { id, name, ownedBy: ownerOf(id) }
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

function toOpenAiModel({ id, ownedBy }: ListedModel) {
  return { id, object: 'model', created: CREATED_AT.getTime() / 1000, owned_by: ownedBy }
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

function toAnthropicModel({ id, name }: ListedModel) {
  return { type: 'model', id, display_name: name, created_at: CREATED_AT.toISOString() }
}
